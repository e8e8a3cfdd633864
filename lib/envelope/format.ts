import { parse } from 'secure-json-parse'
import { FST_CTX_ENVELOPE_REFUSED, FST_CTX_ENVELOPE_TOO_LARGE, FST_CTX_NOT_CONFIGURED } from '../common/errors.ts'
import { ownOptions } from '../common/own-options.ts'
import { isSafeId } from '../config/request-id.ts'
import type { EnvelopeSettings } from '../config/options.ts'
import { readSignature, sign } from './signature.ts'
import { readTrace } from '../tracing/trace-context.ts'
import { warnOnce } from '../common/warnings.ts'

/** The content of an envelope: the packed values of a scope, and more. */
export interface Envelope {
  readonly v: 1
  readonly requestId: string
  readonly values: Packed
  readonly actor?: PackedActor | undefined
  readonly traceparent?: string | undefined
  readonly tracestate?: string | undefined
  /** How many milliseconds were left for the work when the envelope was created. */
  readonly remaining?: number | undefined
  /** When a signed envelope was created, in milliseconds since the epoch. */
  readonly issued?: number | undefined
}

/** Packed values by key. */
export type Packed = Readonly<Record<string, unknown>>

/** Who acts, and why, if carried keys are impersonated. */
export interface PackedActor {
  readonly reason: string
  readonly values: Packed
  /** The impersonated keys without a real value. */
  readonly unset: readonly string[]
}

const VERSION = 1

/** How many milliseconds the clock of another machine may be ahead. */
const MAX_SKEW = 60_000

/** In JSON without spaces. `dehydrate` writes no such name, and the parser refuses only those that could reach a prototype. */
const CONSTRUCTOR = /[{,]"constructor":/

/** The maximum depth of nested objects and arrays in an envelope, including itself. */
export const MAX_DEPTH = 32

/**
 * Writes an envelope as text, signed if there is a secret.
 *
 * @throws FST_CTX_ENVELOPE_TOO_LARGE
 * @throws FST_CTX_NOT_CONFIGURED
 */
export function writeEnvelope (envelope: Omit<Envelope, 'v' | 'issued'>, { isLate, secrets, maxBytes }: EnvelopeSettings, purpose?: string): string {
  if (isLate === true) throw new FST_CTX_NOT_CONFIGURED('envelope')
  const [secret] = secrets
  const text = JSON.stringify({ v: VERSION, ...envelope, issued: secret === undefined ? undefined : Date.now() })
  const written = secret === undefined ? text : sign(text, secret, purpose)
  if (Buffer.byteLength(written) > maxBytes) throw new FST_CTX_ENVELOPE_TOO_LARGE(Buffer.byteLength(written), maxBytes, largestValues(envelope))
  return written
}

/**
 * Reads an envelope. An invalid one emits a warning; if envelopes are signed, it is refused.
 *
 * @throws FST_CTX_ENVELOPE_REFUSED
 * @throws FST_CTX_NOT_CONFIGURED
 */
export function readEnvelope (given: unknown, settings: EnvelopeSettings, purpose?: string): Envelope | undefined {
  if (settings.isLate === true) throw new FST_CTX_NOT_CONFIGURED('envelope')
  const read = checkEnvelope(given, settings, purpose)
  if (typeof read !== 'string') return read
  if (settings.secrets.length > 0) throw new FST_CTX_ENVELOPE_REFUSED(read)
  warnOnce('FST_CTX_ENVELOPE', read, `ctx.hydrate got an invalid envelope: ${read}. Its work runs in a scope without values: pass on the string from ctx.dehydrate() unchanged`)
  return undefined
}

/**
 * The request id of an envelope for its scope. An id that nobody signed may come from anybody. It is accepted like the header of a
 * request: if the pattern allows it.
 */
export function acceptedId ({ requestId }: Envelope, { secrets }: EnvelopeSettings, pattern: Pick<RegExp, 'test'>): { readonly requestId?: string } {
  if (secrets.length > 0 || pattern.test(requestId)) return { requestId }
  warnOnce('FST_CTX_ENVELOPE_ID', 'pattern', 'ctx.hydrate got an envelope with a request id that requestId.pattern does not allow, so its scope has a new one. Sign envelopes (envelope.secrets), or let the pattern allow the ids that you generate')
  return {}
}

/** The envelope, or why it is invalid. */
function checkEnvelope (given: unknown, { maxBytes, secrets, ttl }: EnvelopeSettings, purpose: string | undefined): Envelope | string {
  if (typeof given !== 'string') return 'it is not a string'
  if (given.length > maxBytes || Buffer.byteLength(given) > maxBytes) return `it has more than ${maxBytes} bytes`
  const { text, valid } = readSignature(given, secrets, purpose)
  if (secrets.length > 0 && !valid) return purpose === undefined ? 'it has no valid signature' : 'it has no valid signature for this purpose'
  let envelope: unknown
  try {
    envelope = parse(text, { protoAction: 'error', constructorAction: 'error' })
    // The text of dehydrate is equal after parsing and writing. A text with a duplicate name is not.
    if (JSON.stringify(envelope) !== text) return 'it is not as ctx.dehydrate writes it'
    if (CONSTRUCTOR.test(text)) return 'it is not safe JSON'
  } catch {
    return 'it is not safe JSON'
  }
  if (!isObject(envelope)) return 'it is not an object'
  if (!Object.hasOwn(envelope, 'v') || envelope.v !== VERSION) return 'it has another version'
  if (isDeep(envelope, MAX_DEPTH)) return 'it is nested too deep'
  // A missing member must not be read from Object.prototype.
  const own = ownOptions(envelope)
  if (!isEnvelope(own)) return 'it has a member of the wrong type, or an unknown one'
  if (secrets.length > 0 && (own.issued ?? 0) > Date.now() + MAX_SKEW) return 'it was issued in the future'
  if (ttl !== undefined && !(Date.now() - (own.issued ?? 0) <= ttl)) return 'it is older than its ttl'
  return own
}

/** The check of each member. All but three are optional. */
const MEMBERS: Readonly<Record<string, (value: unknown) => boolean>> = {
  v: (value) => value === VERSION,
  requestId: (value) => isSafeId(value),
  values: isObject,
  actor: (value) => value === undefined || isActor(value),
  traceparent: (value) => value === undefined || readTrace(value, undefined) !== undefined,
  tracestate: (value) => value === undefined || typeof value === 'string',
  remaining: (value) => value === undefined || isTime(value),
  issued: (value) => value === undefined || isTime(value)
}

function isEnvelope (envelope: Packed): envelope is Packed & Envelope {
  return Object.keys(envelope).every((name) => Object.hasOwn(MEMBERS, name)) &&
    Object.entries(MEMBERS).every(([name, isRight]) => isRight(envelope[name]))
}

function isActor (value: unknown): boolean {
  if (!isObject(value)) return false
  const { reason, values, unset, ...rest } = ownOptions(value)
  return typeof reason === 'string' && reason !== '' && isObject(values) && Array.isArray(unset) &&
    unset.every((name) => typeof name === 'string') && Object.keys(rest).length === 0
}

function isTime (value: unknown): boolean {
  // Any number, because a limit of "none" may be the largest number.
  return Number.isFinite(value) && (value as number) >= 0
}

function isObject (value: unknown): value is Packed {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Whether a JSON value is nested deeper than `limit`, counting itself. */
export function isDeep (value: unknown, limit: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  return limit === 0 || Object.values(value).some((inner) => isDeep(inner, limit - 1))
}

/** The three largest keys, for people. The reason of an impersonation may be as long as a value. */
function largestValues ({ values, actor }: Omit<Envelope, 'v' | 'issued'>): string {
  const acting = Object.entries(actor === undefined ? {} : { ...actor.values, reason: actor.reason }).map(([name, value]) => [`actor.${name}`, value] as const)
  const weights = [...Object.entries(values), ...acting]
    .map(([name, value]) => ({ name, bytes: Buffer.byteLength(JSON.stringify(value)) }))
  return weights.toSorted((a, b) => b.bytes - a.bytes).slice(0, 3).map(({ name, bytes }) => `'${name}' (${bytes} bytes)`).join(', ')
}
