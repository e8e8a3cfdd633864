import { isDeepStrictEqual } from 'node:util'
import { FST_CTX_INVALID_ARGUMENT } from '../common/errors.ts'
import { makeCanary, type Canaries } from './canary.ts'
import { Random } from './random.ts'
import { bytesOf, SentRequest, type IsolationRequest, type MakeRequest } from './sent-request.ts'

/**
 * How the requests of a burst meet:
 * - `together`: all are sent in one turn, and so are all in the server before one that waits for anything goes on;
 * - `gated`: no body is complete before the server has the headers of all; then one after the other is;
 * - `staggered`: each comes when the one before it has arrived, and 0 to 3 milliseconds later;
 * - `lockstep`: all are stopped in the server, before Fastify sees them and again before their handlers. Each time they proceed
 *   in one turn.
 */
export type Pace = 'together' | 'gated' | 'staggered' | 'lockstep'

/** Requests that are on their way at the same time. */
export interface Burst {
  readonly pace: Pace
  readonly requests: readonly SentRequest[]
  /** The order in which `gated` bodies are completed, and in which requests in `lockstep` proceed. */
  readonly release: readonly SentRequest[]
  /** How many awaits pass in `lockstep` after each of `release`, before the next proceeds. */
  readonly steps: readonly number[]
  /** Whether each of these is answered before the next is completed. */
  readonly oneByOne: boolean
}

/** What the plan of a run depends on: the same of these, the same plan, but for the canaries. */
export interface Schedule {
  readonly seed: number
  readonly rounds: number
  readonly concurrency: number
}

const PACES: readonly Pace[] = ['staggered', 'together', 'gated', 'lockstep']

const MAX_PIECES = 4
const MAX_WAIT = 3
const MAX_STEPS = 3

/**
 * Plans a run. In each round each request meets itself, in a burst of its own, and the others, in bursts of all; with four
 * rounds, each at each pace.
 *
 * @throws FST_CTX_INVALID_ARGUMENT what was made is no request, or one that does not carry its canary
 */
export async function plan (makes: readonly MakeRequest[], { seed, rounds, concurrency }: Schedule, canaries: Canaries<SentRequest>): Promise<Burst[]> {
  const random = new Random(seed)
  const offset = random.below(PACES.length)
  const numbers = { next: 1 }
  const bursts: Burst[] = []
  for (let round = 0; round < rounds; round++) {
    const groups = [
      ...makes.map((_, i) => Array.from({ length: concurrency }, () => i)),
      ...mixed(makes.length, concurrency, random)
    ]
    for (const [i, group] of random.shuffled([...groups.entries()])) {
      const pace = PACES[(offset + round + (i < makes.length ? 0 : 1)) % PACES.length]!
      const requests = await Promise.all(group.map((make) => prepare(make, makes[make]!, numbers.next++, seed, canaries)))
      const [release, oneByOne, stepped] = [random.shuffled(requests), random.below(2) === 0, random.below(2) === 0]
      bursts.push({ pace, requests, release, oneByOne, steps: requests.map(() => stepped ? random.below(MAX_STEPS + 1) : 0) })
    }
  }
  checkPlaced(makes, bursts)
  return bursts
}

/** Bursts of all requests, each of which stands at least once in one of them. */
function mixed (count: number, concurrency: number, random: Random): number[][] {
  const all: number[] = []
  while (all.length < Math.max(count, concurrency)) all.push(...random.shuffled(Array.from({ length: count }, (_, i) => i)))
  const groups: number[][] = []
  for (let from = 0; from < all.length; from += concurrency) groups.push(all.slice(from, from + concurrency))
  return groups
}

async function prepare (index: number, make: MakeRequest, number: number, seed: number, canaries: Canaries<SentRequest>): Promise<SentRequest> {
  const canary = makeCanary()
  const request: unknown = await make(canary)
  if (!isRequest(request)) throw new FST_CTX_INVALID_ARGUMENT('assertIsolated', `functions that return { method, url, headers, body }, with a url that begins with '/', where request ${index + 1} is another`)
  const random = new Random(seed, number)
  const sent = new SentRequest(number, canary, request, index, {
    pieces: piecesOf(bytesOf(request.body), random),
    chunked: random.below(2) === 0,
    wait: random.below(MAX_WAIT + 1)
  })
  canaries.give(canary, sent)
  return sent
}

function isRequest (made: unknown): made is IsolationRequest {
  if (typeof made !== 'object' || made === null) return false
  const { method, url, headers } = made as Partial<Record<keyof IsolationRequest, unknown>>
  return typeof url === 'string' && url.startsWith('/') &&
    (method === undefined || typeof method === 'string') &&
    (headers === undefined || (typeof headers === 'object' && headers !== null))
}

function piecesOf (bytes: Buffer, random: Random): Buffer[] {
  if (bytes.length === 0) return []
  const cuts = Array.from({ length: random.below(MAX_PIECES) }, () => random.below(bytes.length)).sort((a, b) => a - b)
  return [0, ...cuts].map((from, i) => bytes.subarray(from, cuts[i])).filter((piece) => piece.length > 0)
}

/** A request that is the same whatever its canary could never be told from another. */
function checkPlaced (makes: readonly MakeRequest[], bursts: readonly Burst[]): void {
  const requests = bursts.flatMap(({ requests }) => requests)
  for (const index of makes.keys()) {
    const [first, second] = requests.filter((sent) => sent.index === index)
    if (isDeepStrictEqual(first!.request, second!.request)) {
      throw new FST_CTX_INVALID_ARGUMENT('assertIsolated', `requests that carry their canary, where request ${index + 1}, ${first!.method} ${first!.request.url}, is the same whatever its canary: put it where the application takes a value from`)
    }
  }
}
