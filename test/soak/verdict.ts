import type { Slope } from './heap.ts'

/** All that a soak has found. */
export interface Outcome {
  readonly requests: number
  readonly seconds: number
  /** The most requests that the service had open at once. */
  readonly most: number
  readonly crossings: number
  readonly lost: number
  /** Answers, errors and records that are not as planned. */
  readonly failed: number
  /** Rejections, exceptions and warnings that nobody caught or expected. */
  readonly unhandled: number
  readonly opened: number
  readonly ended: number
  /** How many of the ended scopes, their requests and their values are in memory when all connections are closed. */
  readonly alive: number
  /** How much was looked at; none of it may be 0. */
  readonly looks: Readonly<Record<string, number>>
  readonly heap: Slope
  readonly seed: number
}

export interface Verdict {
  readonly ok: boolean
  readonly text: string
}

/**
 * Bytes for each 1,000 requests, below which a heap is flat: twice what bare Fastify grows by under such a load in its first
 * 25,000 requests (8,000 on Node.js 24, 23,000 on 20). One object kept for each request would be more.
 */
export const FLAT = 50_000

/**
 * Bytes that it may grow by once, however many requests there are: what is compiled, and the caches of this many libraries,
 * take some thousand requests to come to their size, which is the whole of a short soak. Up to 1.7 MB were seen.
 */
export const ONCE = 3_000_000

/** How many of those may be: what the last requests had, which Node and V8 let go of when others come. */
export const ALIVE = 50

/** Says in one line whether all is well, and what is not. */
export function verdictOf (outcome: Outcome): Verdict {
  const { requests, seconds, most, crossings, lost, failed, unhandled, opened, ended, alive, looks, heap, seed } = outcome
  const unseen = Object.keys(looks).filter((name) => !(looks[name]! > 0))
  const wrong = Object.entries({
    crossings: crossings > 0,
    lost: lost > 0,
    failed: failed > 0,
    unhandled: unhandled > 0,
    scopes: opened !== ended,
    alive: alive > ALIVE,
    heap: !isFlat(heap, requests),
    [`not seen: ${unseen.join(' ')}`]: unseen.length > 0
  }).filter(([, isWrong]) => isWrong).map(([name]) => name)
  const scopes = opened === ended ? `${count(opened)} scopes opened and ended` : `${count(opened)} scopes opened, ${count(ended)} ended`
  const slope = `heap ${signed(heap.bytes)} kB per 1,000 requests (95 %: ${kilobytes(heap.low)} to ${kilobytes(heap.high)})`
  const facts = [
    `${count(requests)} requests in ${Math.round(seconds)} s`, `up to ${count(most)} at once`, `${count(crossings)} crossings`, `${count(lost)} lost`, `${count(failed)} failed`,
    `${count(unhandled)} unhandled`, scopes, `${count(alive)} in memory`, slope, `seed ${seed}`
  ]
  return { ok: wrong.length === 0, text: `soak: ${wrong.length === 0 ? 'ok' : `NOT OK (${wrong.join(', ')})`}: ${facts.join(', ')}` }
}

/** Whether growth is not to be told from none, or is too little to matter. */
function isFlat ({ low, high }: Slope, requests: number): boolean {
  return low <= 0 || high < FLAT + ONCE / requests * 1000
}

function count (number: number): string {
  return number.toLocaleString('en')
}

function kilobytes (bytes: number): string {
  return (bytes / 1000).toFixed(1)
}

function signed (bytes: number): string {
  return bytes < 0 ? kilobytes(bytes) : `+${kilobytes(bytes)}`
}
