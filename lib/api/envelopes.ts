import { untilAborted } from '../lifecycle/cancellation.ts'
import { acceptedId, readEnvelope, writeEnvelope } from '../envelope/format.ts'
import { FST_CTX_INVALID_ARGUMENT } from '../common/errors.ts'
import { ownOptions } from '../common/own-options.ts'
import { outboundHeaders } from '../propagation/headers.ts'
import { packScope, unpackInto } from '../envelope/pack.ts'
import { registrationFor } from '../envelope/signer.ts'
import type { ContextDefinition } from '../lifecycle/context-definition.ts'
import type { Registration, Store } from '../scope/scope.ts'
import { openScope, runIn } from '../lifecycle/run.ts'
import { readTrace, writeTrace, type Trace } from '../tracing/trace-context.ts'
import { traceOf } from '../scope/active-trace.ts'
import { timeLeft } from './limits.ts'
import { requireScope, scopeIn } from './values.ts'

/** The options of `ctx.dehydrate`. */
export interface DehydrateOptions {
  /** Whether the envelope contains the remaining time. Pass `false` for a job that outlives its request. Default `true`. */
  readonly remaining?: boolean
  /**
   * What the envelope is for, such as the name of a job and a digest of its data. It is signed but not written. `hydrate` refuses the
   * envelope unless it gets the same text. Needs `envelope.secrets`.
   */
  readonly for?: string
}

/** The options of `ctx.hydrate`. */
export interface HydrateOptions {
  /** What the envelope must have been made for: the `for` of `dehydrate`. */
  readonly for?: string
}

/** The current scope as an envelope: `ctx.dehydrate`. */
export function dehydrate (definition: ContextDefinition, store: Store | undefined, options: DehydrateOptions): string {
  const { remaining, purpose } = readDehydrateOptions(options)
  const scope = requireScope(definition, store, 'ctx.dehydrate')
  checkSigned('ctx.dehydrate', purpose, scope.registration)
  const trace = traceOf(scope)
  return writeEnvelope({
    requestId: scope.store.requestId as string,
    ...packScope(scope),
    traceparent: trace === undefined ? undefined : writeTrace(trace),
    tracestate: trace?.traceState?.serialize(),
    remaining: remaining ? timeLeft(scope) : undefined
  }, scope.registration.settings.envelope, purpose)
}

/** Calls `fn` in the scope that an envelope holds: `ctx.hydrate`. It never throws, it rejects. */
export function hydrate<R> (definition: ContextDefinition, envelope: unknown, fn: () => R, options: HydrateOptions): Promise<Awaited<R>> {
  try {
    return openEnvelope(definition, envelope, fn, readPurpose('ctx.hydrate', options))
  } catch (error) {
    return refuse(error)
  }
}

/** The headers that carry the current scope to the origin of a URL. */
export function headersTo (definition: ContextDefinition, store: Store | undefined, url: string | URL): Record<string, string> {
  const scope = scopeIn(definition, store)
  return scope === undefined ? {} : outboundHeaders(scope, url, { traced: false })
}

/** The current place in a distributed trace. */
export function traceIn (definition: ContextDefinition, store: Store | undefined): Trace | undefined {
  const scope = scopeIn(definition, store)
  return scope === undefined ? undefined : traceOf(scope)
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

/** Refuses a purpose for envelopes that are not signed, because only a signature can bind them to it. */
function checkSigned (call: string, purpose: string | undefined, { settings: { envelope } }: Registration): void {
  if (purpose !== undefined && envelope.secrets.length === 0 && envelope.isLate !== true) throw new FST_CTX_INVALID_ARGUMENT(call, "'for' only where envelope.secrets are given")
}

async function refuse (error: unknown): Promise<never> {
  throw error
}

/** Returns the promise that `runIn` makes, because Node.js reports an unhandled rejection in the scope in which its promise was made. */
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
  // If a tracer is already active here, it knows where this work began.
  if (from === undefined || scope.trace !== undefined) return runIn(scope, work, limits)
  scope.trace = from
  const { tracing } = settings
  return runIn(scope, tracing === undefined ? work : () => tracing.withParent(from, work), limits)
}
