import { setTimeout as sleep } from 'node:timers/promises'
import { Random } from '../../lib/testing/random.ts'
import { heapUsed, type Sample } from './heap.ts'
import type { Options } from './options.ts'
import { choose, type Planned } from './shapes.ts'

/** The target of a load. */
export interface Target {
  readonly send: (planned: Planned) => Promise<void>
  /** Whether all work that requests left behind is done. */
  readonly isIdle: () => boolean
  /** Called when no request is active, before the heap is measured. */
  readonly rest: () => void
  readonly tell: (text: string) => void
}

export interface Loaded {
  readonly requests: number
  readonly samples: readonly Sample[]
  /** Requests that never ended. */
  readonly stuck: number
}

/** The maximum length of a round in milliseconds, and the minimum number of rounds. Between rounds no request is active. */
const ROUND = 10_000
const LEAST_ROUNDS = 12

/** The share of rounds that warm up: code is compiled, and connections and caches reach their size. */
const WARM_UP = 1 / 4

/** How many milliseconds the last requests may take to end. */
const PATIENCE = 20_000

/** Keeps this many requests active for this long, in rounds with a heap measurement after each. */
export async function load ({ milliseconds, concurrency, seed }: Options, target: Target): Promise<Loaded> {
  const rounds = Math.max(LEAST_ROUNDS, Math.ceil(milliseconds / ROUND))
  // One random stream per client, so that its choices do not depend on the speed of the others.
  const lanes = Array.from({ length: concurrency }, (_, lane) => new Random(seed, lane))
  const samples: Sample[] = []
  const begin = Date.now()
  let requests = 0
  let open = 0
  for (let round = 1; round <= rounds; round++) {
    // Subtract the end of this round from the next one.
    const until = Math.max(begin + round * milliseconds / rounds, Date.now() + milliseconds / rounds / 4)
    const over = Promise.all(lanes.map(async (random) => {
      while (Date.now() < until) {
        open++
        await target.send(choose(random, ++requests))
        open--
      }
    }))
    await Promise.race([over, sleep(until - Date.now() + PATIENCE, undefined, { ref: false })])
    if (open > 0) break
    await idle(target.isIdle)
    target.rest()
    const bytes = await heapUsed()
    if (round > rounds * WARM_UP) samples.push({ requests, bytes })
    if (round % Math.ceil(rounds / 6) === 0) target.tell(`${round} of ${rounds} rounds, ${requests} requests, heap ${(bytes / 1e6).toFixed(2)} MB`)
  }
  return { requests, samples, stuck: open }
}

/** Waits until nothing is left to do, up to a limit. */
export async function idle (isIdle: () => boolean, patience = PATIENCE): Promise<void> {
  const until = Date.now() + patience
  while (!isIdle() && Date.now() < until) await sleep(5)
}
