import type { Random } from '../../lib/testing/random.ts'
import type { Abort, Via } from '../support/client.ts'

/** A kind of request: its route and transport, how its client may leave it, and its response. */
export interface Shape {
  readonly via: readonly Via[]
  readonly aborts?: readonly Abort[]
  /** Default 200. */
  readonly status?: number
  /** How often it is chosen. Default 10. */
  readonly weight?: number
}

/** One request. */
export interface Planned {
  readonly n: number
  readonly name: string
  readonly via: Via
  readonly abort: Abort
  /** The number of parts of its body, its response or its conversation. */
  readonly parts: number
}

const ANY: readonly Via[] = ['keep-alive', 'pipelined', 'http2']
const UNPIPED: readonly Via[] = ['keep-alive', 'http2']
const HTTP1: readonly Via[] = ['keep-alive']

export const SHAPES: Readonly<Record<string, Shape>> = {
  get: { via: ANY, aborts: ['while it waits'], weight: 30 },
  json: { via: UNPIPED, aborts: ['in the body'], weight: 20 },
  parts: { via: UNPIPED, aborts: ['in the body'] },
  multipart: { via: HTTP1 },
  error: { via: ANY, status: 418 },
  thrown: { via: ANY, status: 418 },
  refused: { via: ANY, status: 418 },
  missing: { via: ANY, status: 404 },
  stream: { via: ANY, aborts: ['in the answer'] },
  sse: { via: UNPIPED, aborts: ['in the answer'] },
  timeout: { via: UNPIPED, status: 503, weight: 3 },
  nested: { via: ANY, aborts: ['while it waits'] },
  memo: { via: ANY },
  impersonate: { via: UNPIPED },
  bound: { via: ANY },
  limited: { via: UNPIPED, weight: 3 },
  gone: { via: UNPIPED, aborts: ['while it waits'], weight: 5 },
  background: { via: ANY, aborts: ['while it waits'] },
  call: { via: UNPIPED, aborts: ['while it waits'] },
  job: { via: ANY },
  thread: { via: UNPIPED, weight: 5 },
  hijack: { via: HTTP1, aborts: ['while it waits'] },
  websocket: { via: HTTP1, aborts: ['in the answer'] }
}

/** The status that the response to a request must have. */
export function statusOf ({ name }: Planned): number {
  return SHAPES[name]!.status ?? 200
}

const LOTS = Object.entries(SHAPES).flatMap(([name, { weight = 10 }]) => Array.from({ length: weight }, () => name))

/** Chooses the next request. */
export function choose (random: Random, n: number): Planned {
  const pick = <T>(list: readonly T[]): T => list[random.below(list.length)]!
  const name = pick(LOTS)
  const { via: ways, aborts } = SHAPES[name]!
  const via = pick(ways)
  const parts = 2 + random.below(3)
  // Only its client ends it.
  if (name === 'gone') return { n, name, via, parts, abort: 'while it waits' }
  // A pipelined request that is aborted aborts the requests behind it as well.
  const abort = aborts !== undefined && via !== 'pipelined' && random.fraction() < 0.2 ? pick(aborts) : 'never'
  return { n, name, via, parts, abort }
}
