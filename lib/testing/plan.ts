import { isDeepStrictEqual } from 'node:util'
import { FST_CTX_INVALID_ARGUMENT } from '../common/errors.ts'
import { makeCanary, type Canaries } from './canary.ts'
import { Random } from './random.ts'
import { bytesOf, SentRequest, type IsolationRequest, type MakeRequest } from './sent-request.ts'

/**
 * How the requests of a burst meet:
 * - `together`: all are sent in one turn, so all arrive before any handler that waits continues;
 * - `gated`: no body is complete before the server has all headers; then the bodies are completed one after another;
 * - `staggered`: each is sent 0 to 3 milliseconds after the previous one has arrived;
 * - `lockstep`: all stop in the server, before Fastify sees them and again before their handlers. Each time they proceed
 *   in one turn.
 */
export type Pace = 'together' | 'gated' | 'staggered' | 'lockstep'

/** Requests that are active at the same time. */
export interface Burst {
  readonly pace: Pace
  readonly requests: readonly SentRequest[]
  /** The order in which `gated` bodies are completed, and in which `lockstep` requests proceed. */
  readonly release: readonly SentRequest[]
  /** In `lockstep`, how many awaits pass after each request of `release` before the next one proceeds. */
  readonly steps: readonly number[]
  /** Whether each of these is answered before the next is completed. */
  readonly oneByOne: boolean
}

/** The parameters of a plan. The same ones give the same plan, except for the canaries. */
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
 * Plans a run. In each round each request meets itself in a separate burst, and the others in mixed bursts. With four
 * rounds, each pace occurs once.
 *
 * @throws FST_CTX_INVALID_ARGUMENT the value is not a request, or does not contain its canary
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

/** Bursts that contain each request at least once. */
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
  if (!isRequest(request)) throw new FST_CTX_INVALID_ARGUMENT('assertIsolated', `functions that return { method, url, headers, body }, with a url that begins with '/', but request ${index + 1} does not`)
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

/** A request without a difference between canaries could never be distinguished from another. */
function checkPlaced (makes: readonly MakeRequest[], bursts: readonly Burst[]): void {
  const requests = bursts.flatMap(({ requests }) => requests)
  for (const index of makes.keys()) {
    const [first, second] = requests.filter((sent) => sent.index === index)
    if (isDeepStrictEqual(first!.request, second!.request)) {
      throw new FST_CTX_INVALID_ARGUMENT('assertIsolated', `requests that contain their canary, but request ${index + 1}, ${first!.method} ${first!.request.url}, is the same for every canary: put it where the application reads a value`)
    }
  }
}
