import { setTimeout as sleep } from 'node:timers/promises'
import { Random } from '../../lib/testing/random.ts'
import { heapUsed, type Sample } from './heap.ts'
import type { Options } from './options.ts'
import { choose, type Planned } from './shapes.ts'

/** What a load is put on. */
export interface Target {
  readonly send: (planned: Planned) => Promise<void>
  /** Whether all that requests left behind is done. */
  readonly isIdle: () => boolean
  /** Called when nothing is under way, before the heap is looked at. */
  readonly rest: () => void
  readonly tell: (text: string) => void
}

export interface Loaded {
  readonly requests: number
  readonly samples: readonly Sample[]
  /** Requests that never ended. */
  readonly stuck: number
}

/** How long a round is at most, in milliseconds, and how many there are at least: between rounds nothing is under way. */
const ROUND = 10_000
const LEAST_ROUNDS = 12

/** The share of rounds that warm up: code is compiled, and connections and caches come to their size. */
const WARM_UP = 1 / 4

/** How long requests may take to end when no more come, in milliseconds. */
const PATIENCE = 20_000

/** Keeps so many requests under way at once, for so long, in rounds with a look at the heap after each. */
export async function load ({ milliseconds, concurrency, seed }: Options, target: Target): Promise<Loaded> {
  const rounds = Math.max(LEAST_ROUNDS, Math.ceil(milliseconds / ROUND))
  // A stream of its own for each: what one chooses does not depend on how fast the others are.
  const lanes = Array.from({ length: concurrency }, (_, lane) => new Random(seed, lane))
  const samples: Sample[] = []
  const begin = Date.now()
  let requests = 0
  let open = 0
  for (let round = 1; round <= rounds; round++) {
    // What the end of a round takes is taken off the next.
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

/** Waits until nothing is left to do, but not for ever. */
export async function idle (isIdle: () => boolean, patience = PATIENCE): Promise<void> {
  const until = Date.now() + patience
  while (!isIdle() && Date.now() < until) await sleep(5)
}
