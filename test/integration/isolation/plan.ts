import { Random } from '../../../lib/testing/random.ts'
import type { Abort, Via } from '../../support/client.ts'

export type Shape = 'get' | 'json' | 'chunked' | 'stream' | 'sse' | 'error' | 'missing' | 'hijack' | 'nested' | 'timeout' | 'websocket' | 'proxied'

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
  const random = new Random(seed)
  const pick = <T>(list: readonly T[]): T => list[random.below(list.length)]!
  const names = Object.keys(SHAPES) as Shape[]
  return Array.from({ length: count }, (_, n) => {
    // The first ones are one of each, so that a small run has all of them.
    const shape = names[n] ?? pick(names)
    const via = pick(SHAPES[shape].via)
    const aborts = SHAPES[shape].aborts
    // A pipelined request that is aborted aborts the requests behind it as well.
    const abort = aborts !== undefined && via !== 'pipelined' && random.fraction() < 0.25 ? pick(aborts) : 'never'
    return { n, shape, via, abort, parts: 2 + random.below(3) }
  })
}
