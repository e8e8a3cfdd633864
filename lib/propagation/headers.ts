import type { Packing } from '../config/key.ts'
import type { Scope } from '../scope/scope.ts'
import { writeChild, writeTrace } from '../tracing/trace-context.ts'
import { traceOf } from '../scope/active-trace.ts'
import { warnOnce } from '../common/warnings.ts'

/** The most bytes of one header's value, as it is sent. */
const MAX_LENGTH = 1024

/** What else touches an outgoing call. */
export interface Outgoing {
  /** Whether another tool adds `traceparent` to this call. */
  readonly traced: boolean
}

/**
 * The headers that the values of a scope go to an origin by: none but those that the keys' policies name, and the origin
 * is listed for, and the place in the trace.
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
  // A tracer has made a span, if only that around the call; without one the call itself is the span.
  headers.traceparent = settings.tracing === undefined ? writeChild(trace) : writeTrace(trace)
  const state = trace.traceState?.serialize()
  if (state) headers.tracestate = state
  return headers
}

/** A value as a header carries it: percent-encoded where it is not plain ASCII. One that does not fit is not sent: cut off, it would be another. */
function headerValue (key: string, value: unknown, packing: Packing<unknown> | undefined): string | undefined {
  if (value === undefined || value === null) return undefined
  let packed: unknown
  try {
    packed = packing === undefined ? value : packing.pack(value)
  } catch {
    return warnNotSent(key, 'its pack threw: let it take every value of the key')
  }
  if (packed === undefined || packed === null) return undefined
  if (!isPrimitive(packed)) return warnNotSent(key, 'it is no string, number or boolean: give the key carry with a pack that makes one')
  const text = String(packed)
  // Encoded it is longer, never shorter. A client may have chosen it: no work is done for one that is not sent.
  const encoded = text.length <= MAX_LENGTH ? encode(text) : text
  if (encoded === undefined) return warnNotSent(key, 'it is no well-formed text: give the key carry with a pack that makes some')
  return encoded.length <= MAX_LENGTH ? encoded : warnNotSent(key, `it takes more than ${MAX_LENGTH} bytes: give the key carry with a pack that makes less`)
}

function isPrimitive (value: unknown): value is string | number | boolean {
  return typeof value === 'string' || typeof value === 'boolean' || Number.isFinite(value)
}

/** Percent-encodes what a header cannot carry, and the spaces around a text, which a receiver would strip. */
function encode (text: string): string | undefined {
  let start = 0
  while (text[start] === ' ') start++
  let end = text.length
  while (end > start && text[end - 1] === ' ') end--
  try {
    // No expression for the spaces at the end: it would start again at each space within.
    return '%20'.repeat(start) + text.slice(start, end).replace(/[^\x20-\x7e]+|%/gu, encodeURIComponent) + '%20'.repeat(text.length - end)
  } catch {
    // Half of a surrogate pair.
    return undefined
  }
}

function warnNotSent (key: string, why: string): undefined {
  warnOnce('FST_CTX_HEADER', `${key} ${why}`, `the value of '${key}' was not sent by its header: ${why}`)
}
