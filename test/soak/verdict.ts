import type { Slope } from './heap.ts'

/** The result of a soak. */
export interface Outcome {
  readonly requests: number
  readonly seconds: number
  /** The largest number of requests that the service had open at once. */
  readonly most: number
  readonly crossings: number
  readonly lost: number
  /** Responses, errors and records that differ from the plan. */
  readonly failed: number
  /** Rejections, exceptions and warnings that nobody caught or expected. */
  readonly unhandled: number
  readonly opened: number
  readonly ended: number
  /** How many ended scopes, with their requests and values, are in memory after all connections have closed. */
  readonly alive: number
  /** How many checks were made. None may be 0. */
  readonly looks: Readonly<Record<string, number>>
  readonly heap: Slope
  readonly seed: number
}

export interface Verdict {
  readonly ok: boolean
  readonly text: string
}

/**
 * A heap is flat below this growth in bytes per 1,000 requests: twice the growth of bare Fastify under this load in its first
 * 25,000 requests (8,000 on Node.js 24, 23,000 on 20). One leaked object per request would grow more.
 */
export const FLAT = 50_000

/**
 * The growth in bytes that may happen once, for any number of requests: compiled code, and the caches of many libraries, reach
 * their size after some thousand requests, which is a whole short soak. Up to 1.7 MB were measured.
 */
export const ONCE = 3_000_000

/** How many may be alive: objects of the last requests, which Node and V8 release only when others follow. */
export const ALIVE = 50

/** Returns in one line whether everything is right, and what is not. */
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

/** Whether the growth cannot be distinguished from none, or is too small to matter. */
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
