import type { Packing } from '../config/key.ts'
import type { Scope } from '../scope/scope.ts'
import { writeChild, writeTrace } from '../tracing/trace-context.ts'
import { traceOf } from '../scope/active-trace.ts'
import { warnOnce } from '../common/warnings.ts'

/** The maximum size of a header value in bytes, as it is sent. */
const MAX_LENGTH = 1024

/** Facts about other tools that an outgoing call meets. */
export interface Outgoing {
  /** Whether another tool adds `traceparent` to this call. */
  readonly traced: boolean
}

/**
 * The headers of a scope for an origin: only headers that keys name in their policies, of keys that are listed for this origin,
 * and the trace.
 */
export function outboundHeaders (scope: Scope, url: string | URL, { traced }: Outgoing): Record<string, string> {
  const { settings, policy, idHeader } = scope.registration
  const keys = settings.keysFor?.(url)
  const headers: Record<string, string> = {}
  if (keys === undefined || scope.root.ended) return headers
  for (const key of keys) {
    const name = key === 'requestId' ? idHeader : policy.headers.get(key)
    const value = headerValue(key, scope.store[key], policy.serializedKeys.get(key))
    if (name !== undefined && value !== undefined) headers[name] = value
  }
  const trace = traced ? undefined : traceOf(scope)
  if (trace === undefined) return headers
  // With a tracer, use its active span. Without one, the call itself is the span.
  headers.traceparent = settings.tracing === undefined ? writeChild(trace) : writeTrace(trace)
  const state = trace.traceState?.serialize()
  if (state) headers.tracestate = state
  return headers
}

/**
 * Returns a value as a header carries it: percent-encoded unless it is plain ASCII. A value that is too long is not sent, because
 * a shortened one would be another value.
 */
function headerValue (key: string, value: unknown, packing: Packing<unknown> | undefined): string | undefined {
  if (value === undefined || value === null) return undefined
  let packed: unknown
  try {
    packed = packing === undefined ? value : packing.pack(value)
  } catch {
    return warnNotSent(key, 'its pack threw: let it accept every value of the key')
  }
  if (packed === undefined || packed === null) return undefined
  if (!isPrimitive(packed)) return warnNotSent(key, 'it is not a string, number or boolean: give the key carry with a pack that returns one')
  const text = String(packed)
  // Encoding never makes it shorter. A client may have chosen the value, so do not encode one that is too long.
  const encoded = text.length <= MAX_LENGTH ? encode(text) : text
  if (encoded === undefined) return warnNotSent(key, 'it is not well-formed text: give the key carry with a pack that returns some')
  return encoded.length <= MAX_LENGTH ? encoded : warnNotSent(key, `it takes more than ${MAX_LENGTH} bytes: give the key carry with a pack that returns less`)
}

function isPrimitive (value: unknown): value is string | number | boolean {
  return typeof value === 'string' || typeof value === 'boolean' || Number.isFinite(value)
}

/** Percent-encodes characters that a header cannot carry, and spaces around the text, which a receiver would strip. */
function encode (text: string): string | undefined {
  let start = 0
  while (text[start] === ' ') start++
  let end = text.length
  while (end > start && text[end - 1] === ' ') end--
  try {
    // No regular expression for trailing spaces, because it would restart at each inner space.
    return '%20'.repeat(start) + text.slice(start, end).replace(/[^\x20-\x7e]+|%/gu, encodeURIComponent) + '%20'.repeat(text.length - end)
  } catch {
    // Half of a surrogate pair.
    return undefined
  }
}

function warnNotSent (key: string, why: string): undefined {
  warnOnce('FST_CTX_HEADER', `${key} ${why}`, `the value of '${key}' was not sent in its header: ${why}`)
}
