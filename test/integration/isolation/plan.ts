/** Random numbers from 0 to below 1, the same ones for the same seed (mulberry32). */
export function random (seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

export type Shape = 'get' | 'json' | 'chunked' | 'stream' | 'sse' | 'error' | 'missing' | 'hijack' | 'nested' | 'timeout' | 'websocket' | 'proxied'
export type Via = 'keep-alive' | 'pipelined' | 'http2'
export type Abort = 'never' | 'in the body' | 'while it waits' | 'in the answer'

/** One request of a run. */
export interface Planned {
  readonly n: number
  readonly shape: Shape
  readonly via: Via
  readonly abort: Abort
  /** The number of parts of its body, its response or its conversation. */
  readonly parts: number
}

/** The transports of each shape, and the ways in which its client may leave it. */
const SHAPES: Readonly<Record<Shape, { readonly via: readonly Via[], readonly aborts?: readonly Abort[] }>> = {
  get: { via: ['keep-alive', 'pipelined', 'http2'], aborts: ['while it waits'] },
  json: { via: ['keep-alive', 'http2'], aborts: ['in the body'] },
  chunked: { via: ['keep-alive', 'http2'], aborts: ['in the body'] },
  stream: { via: ['keep-alive', 'pipelined', 'http2'], aborts: ['in the answer'] },
  sse: { via: ['keep-alive', 'http2'], aborts: ['in the answer'] },
  error: { via: ['keep-alive', 'pipelined', 'http2'] },
  missing: { via: ['keep-alive', 'pipelined', 'http2'] },
  hijack: { via: ['keep-alive'], aborts: ['while it waits'] },
  nested: { via: ['keep-alive', 'pipelined', 'http2'] },
  timeout: { via: ['keep-alive', 'http2'] },
  websocket: { via: ['keep-alive'] },
  proxied: { via: ['keep-alive'], aborts: ['in the answer'] }
}

/** `count` requests, shuffled by a seed. Each shape, transport and ending occurs. */
export function plan (seed: number, count: number): Planned[] {
  const next = random(seed)
  const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)]!
  const names = Object.keys(SHAPES) as Shape[]
  return Array.from({ length: count }, (_, n) => {
    // The first ones are one of each, so that a small run has all of them.
    const shape = names[n] ?? pick(names)
    const via = pick(SHAPES[shape].via)
    const aborts = SHAPES[shape].aborts
    // A pipelined request that is aborted aborts the requests behind it as well.
    const abort = aborts !== undefined && via !== 'pipelined' && next() < 0.25 ? pick(aborts) : 'never'
    return { n, shape, via, abort, parts: 2 + Math.floor(next() * 3) }
  })
}
