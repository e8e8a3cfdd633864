import { FST_CTX_INVALID_OPTION, FST_CTX_NOT_CONFIGURED } from '../common/errors.ts'
import { ownOptions } from '../common/own-options.ts'
import { readPropagate, type KeysFor, type Propagate } from './propagation-rules.ts'
import type { Policy } from './key-policies.ts'
import type { Tracing } from '../tracing/trace-context.ts'

/** An impersonation that is about to begin. It contains only values that log lines show. */
export interface ImpersonateRequest {
  /** The id of the request or job. */
  readonly requestId: string
  /** The pattern of the route; `undefined` outside a request. */
  readonly route: string | undefined
  /** The reason that was passed to `ctx.impersonate`. */
  readonly reason: string
  /** The names of the impersonated keys, including those that are not logged. */
  readonly keys: readonly string[]
  /** The log fields of the impersonated values, by name. */
  readonly fields: Readonly<Record<string, unknown>>
  /** The log field `actor`: the real values of impersonated keys, by name. */
  readonly actor: Readonly<Record<string, unknown>>
}

/** The type of the option `onImpersonate`. */
export type OnImpersonate = (request: ImpersonateRequest) => boolean | undefined | void

/** How envelopes are created, and which are accepted. */
export interface EnvelopeOptions {
  /** The maximum size of an envelope in bytes. Default 8,192. */
  readonly maxBytes?: number
  /** Secrets of at least 32 characters. Envelopes are signed with the first one, and refused unless signed with one of them. Default: none. */
  readonly secrets?: readonly string[]
  /** The maximum age of a signed envelope in milliseconds, longer than the longest delay and all retries of a job. `Infinity`: any age. Default 604,800,000, a week. */
  readonly ttl?: number
}

/** Options that may be given later than the keys, such as a secret from a vault or origins from the configuration. */
export interface LateOptions {
  /** How `ctx.dehydrate` creates envelopes, and which `ctx.hydrate` accepts. */
  readonly envelope?: EnvelopeOptions
  /** Which keys go to which origins, in the headers that their policies name. Default: none. */
  readonly propagate?: Propagate
  /** `true`: the trace in a request's `traceparent` header is kept. A tracer (`fastify-ctx/otel`): its spans are used. Default `true`. */
  readonly trace?: boolean | Tracing
  /** Whether common mistakes emit process warnings. Default: unless `NODE_ENV` is `production`. */
  readonly diagnostics?: boolean
  /**
   * Called before each impersonation, in the scope of the caller. `ctx.impersonate` throws FST_CTX_IMPERSONATION_REFUSED, and calls
   * nothing, if it throws or returns anything but `undefined` or `true`. So it cannot be async. Default: none.
   */
  readonly onImpersonate?: OnImpersonate
  /** The maximum number of entries in the `ctx.cache` of a scope. A full cache drops the least recently used one. Default: no limit. */
  readonly cacheMax?: number
}

/** The options of `createContext` besides the keys: what leaves and enters the process, and whether common mistakes emit warnings. */
export interface CreateOptions extends Omit<LateOptions, 'envelope' | 'propagate'> {
  /**
   * How `ctx.dehydrate` creates envelopes, and which `ctx.hydrate` accepts. `'late'`: the plugin's registration or `ctx.configure`
   * sets it. Until then both calls throw FST_CTX_NOT_CONFIGURED.
   */
  readonly envelope?: EnvelopeOptions | 'late'
  /**
   * Which keys go to which origins, in the headers that their policies name. Default: none. `'late'`: the plugin's registration or
   * `ctx.configure` sets it. Until then outgoing calls in a scope fail with FST_CTX_NOT_CONFIGURED.
   */
  readonly propagate?: Propagate | 'late'
}

/** The options in the form that the parts of a context read. */
export interface Settings {
  readonly envelope: EnvelopeSettings
  /** Which keys go where, unchanged. */
  readonly propagate: Propagate
  /** `undefined` if nothing is sent anywhere. */
  readonly keysFor: KeysFor | undefined
  /** Whether the header `traceparent` is read. */
  readonly readsTrace: boolean
  readonly tracing: Tracing | undefined
  readonly diagnostics: boolean
  /** `undefined` for no limit. */
  readonly cacheMax: number | undefined
  /** All of them must allow an impersonation. */
  readonly impersonateHooks: readonly OnImpersonate[]
}

export interface EnvelopeSettings {
  /** Whether the envelope options are still missing. No envelope is created or read before they are given. */
  readonly isLate?: true
  readonly maxBytes: number
  readonly secrets: readonly string[]
  readonly ttl: number | undefined
}

/** The names of the options, each of which may be given later than the keys. A scope reads them when it opens, or when something leaves it. */
export const CREATE_OPTIONS: ReadonlySet<string> = new Set(['envelope', 'propagate', 'trace', 'diagnostics', 'onImpersonate', 'cacheMax'])

/** Marks an option that will be given late. */
const LATE = 'late'

/** A week, in milliseconds. */
const DEFAULT_TTL = 604_800_000

const ENVELOPE_OPTIONS: ReadonlySet<string> = new Set(['maxBytes', 'secrets', 'ttl'])

/** A shorter key is weaker than its signature. */
const SECRET_LENGTH = 32

/**
 * Checks the options.
 *
 * @throws FST_CTX_INVALID_OPTION
 */
export function readSettings (options: CreateOptions, policy: Policy): Settings {
  const { envelope = {}, propagate, trace = true, diagnostics = process.env.NODE_ENV !== 'production', onImpersonate, cacheMax } = ownOptions(options)
  const tracing = typeof trace === 'boolean' ? undefined : trace
  if (tracing !== undefined) checkTracing(tracing, policy)
  if (typeof diagnostics !== 'boolean') throw new FST_CTX_INVALID_OPTION('diagnostics', 'takes a boolean')
  if (onImpersonate !== undefined && typeof onImpersonate !== 'function') throw new FST_CTX_INVALID_OPTION('onImpersonate', 'takes a function')
  if (cacheMax !== undefined && !(Number.isSafeInteger(cacheMax) && cacheMax > 0)) throw new FST_CTX_INVALID_OPTION('cacheMax', 'takes a whole number above 0')
  return {
    envelope: envelope === LATE ? { ...readEnvelopeOptions({}), isLate: true as const } : readEnvelopeOptions(envelope),
    propagate: propagate === LATE ? {} : propagate ?? {},
    keysFor: propagate === undefined ? undefined : propagate === LATE ? refuseLate : readPropagate(propagate, policy),
    readsTrace: trace !== false,
    tracing,
    diagnostics,
    cacheMax,
    impersonateHooks: onImpersonate === undefined ? [] : [onImpersonate]
  }
}

/** Whether an option was given, and not only announced. */
export function isGiven (value: unknown): boolean {
  return value !== undefined && value !== LATE
}

function refuseLate (): never {
  throw new FST_CTX_NOT_CONFIGURED('propagate')
}

function readEnvelopeOptions (options: EnvelopeOptions): EnvelopeSettings {
  if (typeof options !== 'object' || options === null) throw new FST_CTX_INVALID_OPTION('envelope', `takes an object of ${[...ENVELOPE_OPTIONS].join(', ')}`)
  for (const name of Object.keys(options)) if (!ENVELOPE_OPTIONS.has(name)) throw new FST_CTX_INVALID_OPTION(`envelope.${name}`, `does not exist: envelope takes ${[...ENVELOPE_OPTIONS].join(', ')}`)
  const own = ownOptions(options)
  const { maxBytes = 8192, secrets = [], ttl } = own
  if (!Number.isSafeInteger(maxBytes) || maxBytes < 256) throw new FST_CTX_INVALID_OPTION('envelope.maxBytes', 'takes a number of bytes, 256 or more')
  if (!Array.isArray(secrets) || secrets.some((secret) => typeof secret !== 'string' || secret.length < SECRET_LENGTH)) {
    throw new FST_CTX_INVALID_OPTION('envelope.secrets', `takes a list of strings of ${SECRET_LENGTH} or more characters`)
  }
  if ('secrets' in own && secrets.length === 0) throw new FST_CTX_INVALID_OPTION('envelope.secrets', 'is empty, so nothing would be signed: give it a secret, or leave it out')
  if (ttl !== undefined && !(typeof ttl === 'number' && ttl > 0)) throw new FST_CTX_INVALID_OPTION('envelope.ttl', 'takes a number of milliseconds, more than 0, or Infinity')
  if (ttl !== undefined && secrets.length === 0) throw new FST_CTX_INVALID_OPTION('envelope.ttl', 'needs envelope.secrets: without a signature anybody could change the age of an envelope')
  return { maxBytes, secrets: [...secrets as readonly string[]], ttl: ttl ?? (secrets.length > 0 ? DEFAULT_TTL : undefined) }
}

function checkTracing (tracing: Tracing, policy: Policy): void {
  if (typeof tracing?.current !== 'function' || typeof tracing.requestSpan !== 'function' || !(tracing.attributes instanceof Map)) {
    throw new FST_CTX_INVALID_OPTION('trace', 'takes a boolean, or the result of otel() of fastify-ctx/otel')
  }
  for (const key of tracing.attributes.keys()) {
    if (!policy.logged.some(({ name }) => name === key)) throw new FST_CTX_INVALID_OPTION(`trace.attributes.${key}`, 'names no key with log: give the key log, which decides how the attribute shows the value')
  }
}
