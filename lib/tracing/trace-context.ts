import { randomBytes } from 'node:crypto'

/**
 * A place in a distributed trace, by OpenTelemetry's names for the parts of a `SpanContext`, which it is assignable from.
 * @see https://www.w3.org/TR/trace-context/
 */
export interface Trace {
  /** 32 lower-case hexadecimal digits, not all zero. */
  readonly traceId: string
  /** 16 lower-case hexadecimal digits, not all zero: the caller's span, or OpenTelemetry's active one. */
  readonly spanId: string
  /** 0 to 255; 1: the caller may have recorded it (`sampled`). */
  readonly traceFlags: number
  /** What tracing vendors added, handed on as it is. */
  readonly traceState?: {
    /** As the header `tracestate` has it. */
    serialize (): string
  } | undefined
}

/** A tracer whose spans are the truth, beside what headers say: `fastify-ctx/otel` makes one of OpenTelemetry. */
export interface Tracing {
  /** The span that is active here, if any. */
  current (): Trace | undefined
  /** The span of a request, where it begins. */
  requestSpan (request: object): Trace | undefined
  /** Calls `fn` with a span of another process as the parent of the spans it starts. */
  withParent<R> (trace: Trace, fn: () => R): R
  /** The keys that become attributes of spans, and the attributes' names. */
  readonly attributes: ReadonlyMap<string, string>
  /** Tells a span, by what `current` gave, the value of an attribute: what log lines carry of the key. */
  setAttribute (trace: Trace, attribute: string, field: unknown): void
}

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/
/** One vendor's member of `tracestate`. */
const MEMBER = /^[a-z0-9][a-z0-9_*/-]{0,255}(?:@[a-z][a-z0-9_*/-]{0,13})?=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]$/

/** Nothing but what `trim` strips of ASCII, and what is visible. */
const VISIBLE = /^[\t\x20-\x7e]*$/

/** The most characters of `tracestate` that are handed on: as many as the specification wants at least. */
const MAX_STATE = 512

/** The flags that a version 00 may hand on: sampled, and random trace id. */
const KNOWN_FLAGS = 0b11

/** The place that a `traceparent` header tells; `undefined` for one that the specification calls invalid. */
export function readTrace (traceparent: unknown, tracestate: unknown): Trace | undefined {
  if (typeof traceparent !== 'string' || traceparent.length > 512) return undefined
  const [, version, traceId, spanId, flags, more] = TRACEPARENT.exec(traceparent) ?? []
  // A later version may have more fields; the first has not.
  if (version === undefined || version === 'ff' || (version === '00' && more !== undefined)) return undefined
  if (/^0+$/.test(traceId!) || /^0+$/.test(spanId!)) return undefined
  return { traceId: traceId!, spanId: spanId!, traceFlags: Number.parseInt(flags!, 16), traceState: readState(tracestate) }
}

/**
 * A broken list of vendors' members is dropped as a whole, and the trace goes on without. Of a name that stands twice the first
 * member is kept: it is the last that was added.
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

/** A place as a `traceparent` header of version 00 tells it. */
export function writeTrace ({ traceId, spanId, traceFlags }: Trace): string {
  return `00-${traceId}-${spanId}-${hex(traceFlags & KNOWN_FLAGS)}`
}

/** The same for an outgoing call, which is a span of its own. */
export function writeChild (trace: Trace): string {
  return writeTrace({ ...trace, spanId: newSpanId() })
}

/** The fields of a log line that name a place, as OpenTelemetry calls them. */
export function traceFields ({ traceId, spanId, traceFlags }: Trace): Record<string, string> {
  return { trace_id: traceId, span_id: spanId, trace_flags: hex(traceFlags) }
}

function hex (flags: number): string {
  return flags.toString(16).padStart(2, '0')
}

function newSpanId (): string {
  const bytes = randomBytes(8)
  // All zeros would be no id.
  bytes[7]! |= 1
  return bytes.toString('hex')
}
