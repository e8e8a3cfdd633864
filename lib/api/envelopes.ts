import { kRequireScope, kDefinition, kCurrentScope } from '../common/symbols.ts'
import { deadlineOf, untilAborted } from '../lifecycle/cancellation.ts'
import { acceptedId, readEnvelope, writeEnvelope } from '../envelope/format.ts'
import { FST_CTX_INVALID_ARGUMENT } from '../common/errors.ts'
import { ownOptions } from '../common/own-options.ts'
import type { Interceptor } from '../propagation/undici-interceptor.ts'
import { outboundHeaders } from '../propagation/headers.ts'
import { packScope, unpackInto } from '../envelope/pack.ts'
import { registrationFor } from '../envelope/signer.ts'
import type { ContextDefinition } from '../lifecycle/context-definition.ts'
import type { Registration } from '../scope/scope.ts'
import { openScope, runIn } from '../lifecycle/run.ts'
import { readTrace, writeTrace, type Trace } from '../tracing/trace-context.ts'
import { traceOf } from '../scope/active-trace.ts'
import { Work } from './memo.ts'

/** What of a scope an envelope takes along, beside its values. */
export interface DehydrateOptions {
  /** `false`: not the time that is left for the work, which a job that outlives its request has no use for. Default `true`. */
  readonly remaining?: boolean
  /**
   * What the envelope is for, such as the name of a job and a digest of its data. It is signed and not written: `hydrate` refuses the
   * envelope unless it is given the same text. Needs `envelope.secrets`.
   */
  readonly for?: string
}

/** What `hydrate` expects of an envelope. */
export interface HydrateOptions {
  /** What the envelope must have been made for: the `for` of `dehydrate`. */
  readonly for?: string
}

/** The calls that take a scope out of the process, and into it: nothing but what the keys' policies say. */
export abstract class Travel<V> extends Work<V> {
  /**
   * The current scope as a text that goes anywhere: into a job, to a worker, to a child process. It holds the request id,
   * the values of the keys with `carry`, the actor and the reason of an impersonation, the place in the trace, and the time
   * that is left. Signed where `envelope.secrets` are given; who can read the text can read the values.
   *
   * @returns JSON of up to `envelope.maxBytes` bytes: a string to hand on as it is
   * @throws FST_CTX_NO_SCOPE no scope is open here
   * @throws FST_CTX_ENDED the scope has ended
   * @throws FST_CTX_NOT_CARRIABLE a value is none that JSON holds
   * @throws FST_CTX_ENVELOPE_TOO_LARGE it has too many bytes
   * @example
   * await queue.add('report', { month: '2026-11', context: ctx.dehydrate() })
   */
  dehydrate (options: DehydrateOptions = {}): string {
    const { remaining, purpose } = readDehydrateOptions(options)
    const scope = this[kRequireScope]('ctx.dehydrate')
    checkSigned('ctx.dehydrate', purpose, scope.registration)
    const trace = traceOf(scope)
    const deadline = remaining ? deadlineOf(scope) : Infinity
    return writeEnvelope({
      requestId: scope.store.requestId as string,
      ...packScope(scope),
      traceparent: trace === undefined ? undefined : writeTrace(trace),
      tracestate: trace?.traceState?.serialize(),
      remaining: deadline === Infinity ? undefined : Math.max(0, Math.round(deadline - Date.now()))
    }, scope.registration.settings.envelope, purpose)
  }

  /**
   * Calls `fn` in the scope that an envelope holds: a root, whose parent is nowhere in this process. What is no envelope of
   * `dehydrate` gives a scope without values, and a warning; where `envelope.secrets` are given it is refused instead, and
   * `fn` is not called.
   *
   * @param envelope what `dehydrate` made, from wherever it comes: nothing of it is trusted
   * @param options.for what the envelope must have been made for
   * @returns what `fn` returns, or its rejection
   * @throws FST_CTX_ENVELOPE_REFUSED forged, made for another purpose, altered, too old, or not signed
   * @throws FST_CTX_UNPACK_FAILED the `unpack` of a key threw: its `cause`
   * @throws FST_CTX_DEADLINE the time that was left passed while values were unpacked
   * @example
   * new Worker('reports', (job) => ctx.hydrate(job.data.context, () => report(job.data.month)), { connection })
   */
  hydrate<R> (envelope: unknown, fn: () => R, options: HydrateOptions = {}): Promise<Awaited<R>> {
    try {
      return openEnvelope(this[kDefinition], envelope, fn, readPurpose('ctx.hydrate', options))
    } catch (error) {
      return refuse(error)
    }
  }

  /**
   * The headers by which the current scope goes to the origin of a URL, for clients that `fetch` has no part in: the request
   * id, the keys with `header`, the place in the trace. None where `propagate` does not list the origin.
   *
   * @example
   * http.request(url, { headers: { ...ctx.headersFor(url), accept: 'text/csv' } })
   */
  headersFor (url: string | URL): Record<string, string> {
    const scope = this[kCurrentScope]()
    return scope === undefined ? {} : outboundHeaders(scope, url, { traced: false })
  }

  /**
   * For a dispatcher of undici's that is not the global one: its requests carry what those of `fetch` do. Compose it before
   * `redirect` and `retry`, and after `cache`, `deduplicate` and `dns`.
   *
   * @example
   * const agent = new Agent().compose(ctx.interceptor)
   */
  get interceptor (): Interceptor {
    return this[kDefinition].interceptor
  }

  /** The current place in a distributed trace: that of OpenTelemetry's active span, if there is one, else the `traceparent` header of the request. */
  get trace (): Trace | undefined {
    const scope = this[kCurrentScope]()
    return scope === undefined ? undefined : traceOf(scope)
  }
}

function readDehydrateOptions (options: DehydrateOptions): { readonly remaining: boolean, readonly purpose: string | undefined } {
  const { remaining = true, ...rest } = ownOptions(options ?? { options }) as DehydrateOptions
  if (typeof remaining !== 'boolean') throw new FST_CTX_INVALID_ARGUMENT('ctx.dehydrate', "a boolean as 'remaining'")
  return { remaining, purpose: readPurpose('ctx.dehydrate', rest) }
}

function readPurpose (call: string, options: HydrateOptions): string | undefined {
  const { for: purpose, ...rest } = ownOptions(options ?? { options }) as HydrateOptions
  const [other] = Object.keys(rest)
  if (other !== undefined) throw new FST_CTX_INVALID_ARGUMENT(call, `no option '${other}'`)
  if (purpose !== undefined && (typeof purpose !== 'string' || purpose === '')) throw new FST_CTX_INVALID_ARGUMENT(call, "a string that is not empty as 'for'")
  return purpose
}

/** Without a signature nothing could be bound to a purpose. */
function checkSigned (call: string, purpose: string | undefined, { settings: { envelope } }: Registration): void {
  if (purpose !== undefined && envelope.secrets.length === 0) throw new FST_CTX_INVALID_ARGUMENT(call, "'for' only where envelope.secrets are given")
}

async function refuse (error: unknown): Promise<never> {
  throw error
}

/** Returns the promise that `runIn` makes: a rejection that nobody handles is reported in the scope that its promise was made in. */
function openEnvelope<R> (definition: ContextDefinition, envelope: unknown, fn: () => R, purpose: string | undefined): Promise<Awaited<R>> {
  if (typeof fn !== 'function') throw new FST_CTX_INVALID_ARGUMENT('ctx.hydrate', 'a function to call second, after the envelope')
  const registration = registrationFor(envelope, definition, purpose)
  checkSigned('ctx.hydrate', purpose, registration)
  const { settings, idPattern } = registration
  const read = readEnvelope(envelope, settings.envelope, purpose)
  const scope = openScope(definition, undefined, read === undefined ? {} : acceptedId(read, settings.envelope, idPattern), 'ctx.hydrate', registration)
  scope.state().madeBy = 'hydrate'
  const work = async (): Promise<Awaited<R>> => {
    if (read !== undefined) await untilAborted(scope, unpackInto(scope, read))
    return await fn()
  }
  const limits = read?.remaining === undefined ? undefined : { timeout: read.remaining }
  const from = readTrace(read?.traceparent, read?.tracestate)
  // A tracer that is already at work here knows where this work began.
  if (from === undefined || scope.trace !== undefined) return runIn(scope, work, limits)
  scope.trace = from
  const { tracing } = settings
  return runIn(scope, tracing === undefined ? work : () => tracing.withParent(from, work), limits)
}
