import { randomInt } from 'node:crypto'
import { setImmediate as turn } from 'node:timers/promises'
import { FST_CTX_INVALID_ARGUMENT } from '../common/errors.ts'
import { sendBurst } from './burst.ts'
import { Canaries } from './canary.ts'
import { Client } from './client.ts'
import { crossingsInAnswer, type Crossing } from './crossing.ts'
import { Lockstep } from './lockstep.ts'
import { plan } from './plan.ts'
import { crossingError, unansweredError, type Run } from './report.ts'
import type { MakeRequest, SentRequest } from './sent-request.ts'
import { openTarget, type App } from './target.ts'
import { Observer } from './observer.ts'

/** How `assertIsolated` fires, and what it lets pass. */
export interface IsolationOptions {
  /** Repeats a run: order, pauses and pieces of bodies are made of it. A whole number, 0 or more. Default: another each time. */
  readonly seed?: number
  /** How often each request meets itself, and the others. Default 4: once at each pace. */
  readonly rounds?: number
  /** How many requests are on their way at once: 2 or more. Default 8. */
  readonly concurrency?: number
  /** Within how many milliseconds each request must be answered, and the work be done that it left behind. Default 10,000. */
  readonly timeout?: number
  /** pino loggers to watch beside `app.log`. Lines of a request are known by the request id on them. */
  readonly loggers?: readonly object[]
  /** Returns `true` for what may be seen by all: a public list, say. */
  readonly ignore?: (crossing: Crossing) => boolean
}

/** What was checked, where nothing crossed. */
export interface Isolation {
  /** Repeats the run. */
  readonly seed: number
  /** How many requests were fired. */
  readonly requests: number
  /** How many of them had each status code: worth an assertion where they must not all be 401. */
  readonly statuses: Readonly<Record<string, number>>
}

export type Settings = Required<IsolationOptions>

/**
 * Fires requests of your own at an application, many at once and in an order that is made of a seed, each with a canary of
 * its own, and rejects with an `IsolationError` where a request sees the canary of another: in the body or a header of its
 * answer, on one of its log lines, or in a value of its scope; or where one is not answered. It goes over real sockets, since
 * `inject` hides such bugs.
 *
 * An application that does not listen does so meanwhile, on a free port of 127.0.0.1, and is left ready but not closed.
 * What it cannot see: a value that shows nowhere, or in another form than it was sent.
 *
 * @param requests makes a request that carries the canary it is given; or a list of such functions
 * @throws FST_CTX_INVALID_ARGUMENT a request does not carry its canary, or what carries it shows nowhere
 * @example
 * await assertIsolated(app, [
 *   (canary) => ({ url: '/orders', headers: { 'x-tenant-id': canary } }),
 *   (canary) => ({ method: 'POST', url: '/orders', headers: { 'x-tenant-id': canary }, body: { sku: 'tea' } })
 * ])
 */
export async function assertIsolated (app: App, requests: MakeRequest | readonly MakeRequest[], options: IsolationOptions = {}): Promise<Isolation> {
  const makes = readMakers(requests)
  const settings = readIsolationOptions(options)
  const { requests: sent, unseen } = await runIsolation(app, makes, settings, (seed) => ({ caller: assertIsolated, again: `assertIsolated(app, requests, { seed: ${seed} })` }))
  if (unseen[0] !== undefined) {
    const { index, method, request, answer } = unseen[0]
    throw new FST_CTX_INVALID_ARGUMENT('assertIsolated', `requests whose canaries show, where that of request ${index + 1}, ${method} ${request.url} (status ${answer!.status}), was in no answer, on no log line and in no value of a context, so that nothing could be seen to cross: put it where the application takes a value from, and answer or log that value`)
  }
  return { seed: settings.seed, requests: sent.length, statuses: statusesOf(sent) }
}

/** A run in which nothing crossed and each request was answered. */
export interface Outcome {
  readonly requests: readonly SentRequest[]
  /** For each function none of whose canaries showed anywhere, one of its requests: nothing could be seen to cross. */
  readonly unseen: readonly SentRequest[]
}

/**
 * Fires requests as `assertIsolated` does.
 *
 * @param report what the error of a failed run says of its caller
 * @throws IsolationError something crossed, or a request was not answered
 */
export async function runIsolation (app: App, makes: readonly MakeRequest[], settings: Settings, report: (seed: number) => Pick<Run, 'caller' | 'again'>): Promise<Outcome> {
  const target = await openTarget(app)
  try {
    const canaries = new Canaries<SentRequest>()
    const bursts = await plan(makes, settings, canaries)
    const requests = bursts.flatMap(({ requests }) => requests)
    const observer = new Observer(app, canaries, settings.loggers)
    const client = new Client(target, {
      connections: settings.concurrency,
      timeout: settings.timeout,
      onPort: (port, sent) => { observer.expect(port, sent) }
    })
    const lockstep = (requests: readonly SentRequest[]): Lockstep => new Lockstep(target.server, requests, (request) => observer.requestOf(request))
    try {
      for (const burst of bursts) {
        await sendBurst(burst, client, lockstep)
        observer.release()
      }
      // The last scopes end, and what waits for that starts, in the turn after their connections are done.
      await turn()
      await turn()
      await observer.settle(Date.now() + settings.timeout)
    } finally {
      client.close()
      observer.stop()
    }
    const run = { sent: requests.length, seed: settings.seed, ...report(settings.seed) }
    const found = [...requests.flatMap((sent) => crossingsInAnswer(sent, canaries)), ...observer.crossings()].filter((crossing) => !settings.ignore(crossing))
    if (found.length > 0) throw crossingError(found, run)
    const unanswered = requests.filter(({ answer }) => answer === undefined)
    if (unanswered.length > 0) throw unansweredError(unanswered, run)
    const seen = new Set(requests.filter(({ seen }) => seen).map(({ index }) => index))
    const unseen = [...makes.keys()].filter((index) => !seen.has(index)).map((index) => requests.find((sent) => sent.index === index)!)
    return { requests, unseen }
  } finally {
    await target.close()
  }
}

/** How many requests had each status code. */
export function statusesOf (requests: readonly SentRequest[]): Record<string, number> {
  const statuses: Record<string, number> = {}
  for (const { answer } of requests) statuses[answer!.status] = (statuses[answer!.status] ?? 0) + 1
  return statuses
}

/** A list of functions that make requests. */
export function readMakers (requests: MakeRequest | readonly MakeRequest[]): readonly MakeRequest[] {
  const makes: readonly unknown[] = Array.isArray(requests) ? requests : [requests]
  if (makes.length === 0 || makes.some((make) => typeof make !== 'function')) throw new FST_CTX_INVALID_ARGUMENT('assertIsolated', 'a function that makes a request for a canary, or a list of such functions')
  return makes as readonly MakeRequest[]
}

const NUMBERS = { seed: [0, 2 ** 32 - 1], rounds: [1, Infinity], concurrency: [2, Infinity], timeout: [1, 2 ** 31 - 1] } as const

/** The options of a run, complete. */
export function readIsolationOptions (options: IsolationOptions): Settings {
  const given = options as Readonly<Record<string, unknown>>
  const { seed = randomInt(2 ** 31), rounds = 4, concurrency = 8, timeout = 10_000, loggers = [], ignore = () => false } = options
  for (const name of Object.keys(given)) {
    if (!(name in NUMBERS) && name !== 'loggers' && name !== 'ignore') throw new FST_CTX_INVALID_ARGUMENT('assertIsolated', `no option '${name}'`)
  }
  for (const [name, [least, most]] of Object.entries(NUMBERS)) {
    const value = given[name]
    if (value !== undefined && !(Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most)) {
      throw new FST_CTX_INVALID_ARGUMENT('assertIsolated', `a ${name} that is a whole number of ${least} or more`)
    }
  }
  if (!Array.isArray(loggers)) throw new FST_CTX_INVALID_ARGUMENT('assertIsolated', 'a list of loggers')
  if (typeof ignore !== 'function') throw new FST_CTX_INVALID_ARGUMENT('assertIsolated', 'a function as ignore')
  return { seed, rounds, concurrency, timeout, loggers, ignore }
}
