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

/** How `assertIsolated` sends requests, and what it accepts. */
export interface IsolationOptions {
  /** Repeats a run: it determines order, pauses and pieces of bodies. A whole number, 0 or more. Default: a new one each time. */
  readonly seed?: number
  /** How often each request meets itself and the others. Default 4: once at each pace. */
  readonly rounds?: number
  /** How many requests are active at once: 2 or more. Default 8. */
  readonly concurrency?: number
  /** How many milliseconds each request may take, including the work that it leaves behind. Default 10,000. */
  readonly timeout?: number
  /** pino loggers to watch in addition to `app.log`. The request id on a line identifies its request. */
  readonly loggers?: readonly object[]
  /** Returns `true` for a crossing that is allowed, such as in a public list. */
  readonly ignore?: (crossing: Crossing) => boolean
}

/** What was checked in a run without crossings. */
export interface Isolation {
  /** Repeats the run. */
  readonly seed: number
  /** How many requests were sent. */
  readonly requests: number
  /** How many of them had each status code. Assert it if they must not all be 401. */
  readonly statuses: Readonly<Record<string, number>>
}

export type Settings = Required<IsolationOptions>

/**
 * Sends your requests to an application, many at once and in an order that depends on a seed, each with its own canary.
 * Rejects with an `IsolationError` if a request sees the canary of another, in the body or a header of its response, on one of its log
 * lines, or in a value of its scope; or if a request is not answered. It uses real sockets, because `inject` hides such bugs.
 *
 * An application that does not listen is started on a free port of 127.0.0.1, and afterwards is ready but not closed.
 * It cannot see a value that appears nowhere, or not in the form in which it was sent.
 *
 * @param requests makes a request that contains the canary it is given; or a list of such functions
 * @throws FST_CTX_INVALID_ARGUMENT a request does not contain its canary, or the canary appears nowhere
 * @example
 * await assertIsolated(app, [
 * (canary) => ({ url: '/orders', headers: { 'x-tenant-id': canary } }),
 * (canary) => ({ method: 'POST', url: '/orders', headers: { 'x-tenant-id': canary }, body: { sku: 'tea' } })
 * ])
 */
export async function assertIsolated (app: App, requests: MakeRequest | readonly MakeRequest[], options: IsolationOptions = {}): Promise<Isolation> {
  const makes = readMakers(requests)
  const settings = readIsolationOptions(options)
  const { requests: sent, unseen } = await runIsolation(app, makes, settings, (seed) => ({ caller: assertIsolated, again: `assertIsolated(app, requests, { seed: ${seed} })` }))
  if (unseen[0] !== undefined) {
    const { index, method, request, answer } = unseen[0]
    throw new FST_CTX_INVALID_ARGUMENT('assertIsolated', `requests whose canaries appear somewhere, but that of request ${index + 1}, ${method} ${request.url} (status ${answer!.status}), was in no response, on no log line and in no value of a context, so no crossing could be seen: put it where the application reads a value, and return or log that value`)
  }
  return { seed: settings.seed, requests: sent.length, statuses: statusesOf(sent) }
}

/** A run without crossings in which each request was answered. */
export interface Outcome {
  readonly requests: readonly SentRequest[]
  /** One request of each function whose canaries appeared nowhere, so that no crossing could be seen. */
  readonly unseen: readonly SentRequest[]
}

/**
 * Sends requests as `assertIsolated` does.
 *
 * @param report what the error of a failed run says about its caller
 * @throws IsolationError a value crossed, or a request was not answered
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
      // The last scopes end, and work that waits for their end starts, in the turn after their connections close.
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

/** The options of a run, with defaults. */
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
