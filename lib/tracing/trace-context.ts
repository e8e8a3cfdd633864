import { randomBytes } from 'node:crypto'

/**
 * The trace context of a request. An OpenTelemetry `SpanContext` is assignable to it.
 * @see https://www.w3.org/TR/trace-context/
 */
export interface Trace {
  /** 32 lower-case hexadecimal digits, not all zero. */
  readonly traceId: string
  /** 16 lower-case hexadecimal digits, not all zero: the caller's span, or OpenTelemetry's active one. */
  readonly spanId: string
  /** 0 to 255. If bit 1 is set, the caller may have recorded the trace (`sampled`). */
  readonly traceFlags: number
  /** Data of tracing vendors, forwarded unchanged. */
  readonly traceState?: {
    /** The value of the header `tracestate`. */
    serialize (): string
  } | undefined
}

/** A tracer, whose spans take precedence over headers. `fastify-ctx/otel` creates one for OpenTelemetry. */
export interface Tracing {
  /** The active span, if there is one. */
  current (): Trace | undefined
  /** The span of a request when it begins. */
  requestSpan (request: object): Trace | undefined
  /** Calls `fn` with a span of another process as the parent of the spans it starts. */
  withParent<R> (trace: Trace, fn: () => R): R
  /** The keys that become span attributes, with the names of the attributes. */
  readonly attributes: ReadonlyMap<string, string>
  /** Sets an attribute of a span that `current` returned, to the value of the key's log field. */
  setAttribute (trace: Trace, attribute: string, field: unknown): void
}

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/
/** One vendor's member of `tracestate`. */
const MEMBER = /^[a-z0-9][a-z0-9_*/-]{0,255}(?:@[a-z][a-z0-9_*/-]{0,13})?=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]$/

/** Visible ASCII, and the ASCII characters that `trim` strips. */
const VISIBLE = /^[\t\x20-\x7e]*$/

/** The maximum length of a forwarded `tracestate`: the minimum that the specification requires. */
const MAX_STATE = 512

/** The flags that version 00 may forward: sampled, and random trace id. */
const KNOWN_FLAGS = 0b11

/** Parses a `traceparent` header. Returns `undefined` if the specification calls it invalid. */
export function readTrace (traceparent: unknown, tracestate: unknown): Trace | undefined {
  if (typeof traceparent !== 'string' || traceparent.length > 512) return undefined
  const [, version, traceId, spanId, flags, more] = TRACEPARENT.exec(traceparent) ?? []
  // A later version may have more fields, version 00 may not.
  if (version === undefined || version === 'ff' || (version === '00' && more !== undefined)) return undefined
  if (/^0+$/.test(traceId!) || /^0+$/.test(spanId!)) return undefined
  return { traceId: traceId!, spanId: spanId!, traceFlags: Number.parseInt(flags!, 16), traceState: readState(tracestate) }
}

/**
 * Parses a `tracestate` header. An invalid list is dropped as a whole, and the trace continues without it. Of a duplicate name the
 * first member is kept, which was added last.
 * @see https://www.w3.org/TR/trace-context/#tracestate-header
 */
function readState (tracestate: unknown): Trace['traceState'] {
  if (typeof tracestate !== 'string' || tracestate.length > MAX_STATE || !VISIBLE.test(tracestate)) return undefined
  const members = tracestate.split(',').map((member) => member.trim()).filter((member) => member !== '')
  if (members.length === 0 || members.length > 32 || !members.every((member) => MEMBER.test(member))) return undefined
  const names = members.map((member) => member.slice(0, member.indexOf('=')))
  const state = members.filter((_, i) => names.indexOf(names[i]!) === i).join(',')
  return { serialize: () => state }
}

/** Formats a trace context as a `traceparent` header of version 00. */
export function writeTrace ({ traceId, spanId, traceFlags }: Trace): string {
  return `00-${traceId}-${spanId}-${hex(traceFlags & KNOWN_FLAGS)}`
}

/** The same for an outgoing call, which gets its own span id. */
export function writeChild (trace: Trace): string {
  return writeTrace({ ...trace, spanId: newSpanId() })
}

/** The log fields of a trace context, with OpenTelemetry's names. */
export function traceFields ({ traceId, spanId, traceFlags }: Trace): Record<string, string> {
  return { trace_id: traceId, span_id: spanId, trace_flags: hex(traceFlags) }
}

function hex (flags: number): string {
  return flags.toString(16).padStart(2, '0')
}

function newSpanId (): string {
  const bytes = randomBytes(8)
  // An id must not be all zeros.
  bytes[7]! |= 1
  return bytes.toString('hex')
}
