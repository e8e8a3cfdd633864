/**
 * OpenTelemetry: its spans on log lines, in envelopes and in outgoing calls, and keys as span attributes.
 *
 * @module fastify-ctx/otel
 */
import { context, createTraceState, isSpanContextValid, trace, type AttributeValue, type Context as OtelContext, type Span } from '@opentelemetry/api'
import { ownOptions } from './common/own-options.ts'
import { fieldOf } from './logging/fields.ts'
import { currentScope } from './scope/storage.ts'
import type { Trace, Tracing } from './tracing/trace-context.ts'

/** Options of `otel()`. */
export interface OtelOptions {
  /** The keys that become span attributes, with the names of the attributes. An attribute has the value of the key's log field, so the key needs `log`. */
  readonly attributes?: Readonly<Record<string, string>>
}

/** The value of the option `trace`, and a span processor. */
export interface OtelTracing extends Tracing {
  /** Gives a span that starts in a scope the attributes of that scope. */
  onStart (span: Span, parent: OtelContext): void
  /** Does nothing. The SpanProcessor interface requires it. */
  onEnd (): void
  /** Does nothing. The SpanProcessor interface requires it. */
  forceFlush (): Promise<void>
  /** Does nothing. The SpanProcessor interface requires it. */
  shutdown (): Promise<void>
}

/** The decorator of `@fastify/otel` on requests. */
interface TracedRequest { opentelemetry?: () => { readonly span: Span | null } }

/**
 * Uses OpenTelemetry's spans for a context: log lines, envelopes and outgoing calls name the active span, and the keys in
 * `attributes` become attributes of the span of each request. If you also add it to a tracer provider as a span processor, they
 * become attributes of every span that starts in a scope.
 *
 * Register `@fastify/otel` before the context, because it creates the span of the request.
 *
 * @example
 * const tracing = otel({ attributes: { tenant: 'app.tenant' } })
 * const provider = new NodeTracerProvider({ spanProcessors: [tracing, new BatchSpanProcessor(exporter)] })
 * export const ctx = createContext({ tenant: key<string>({ log: true }) }, { trace: tracing })
 */
export function otel (options: OtelOptions = {}): OtelTracing {
  const { attributes = {} } = ownOptions(options)
  const names: ReadonlyMap<string, string> = new Map(Object.entries(attributes))
  const spans = new WeakMap<object, Span>()

  /** The trace context of a span, by which the span is found again. */
  function traceOfSpan (span: Span | null | undefined): Trace | undefined {
    const place = span?.spanContext()
    if (place === undefined || !isSpanContextValid(place)) return undefined
    spans.set(place, span!)
    return place
  }

  const tracing: OtelTracing = {
    attributes: names,
    current: () => traceOfSpan(trace.getActiveSpan()),
    // The active span in a hook may be the span of that hook only.
    requestSpan: (request: TracedRequest) => traceOfSpan(request.opentelemetry?.().span ?? trace.getActiveSpan()),
    withParent: ({ traceState, ...place }, fn) => context.with(trace.setSpanContext(context.active(), {
      ...place, isRemote: true, ...traceState && { traceState: createTraceState(traceState.serialize()) }
    }), fn),
    setAttribute (place, attribute, field) {
      const value = attributeOf(field)
      const span = spans.get(place)
      if (value !== undefined && span?.isRecording() === true) span.setAttribute(attribute, value)
    },
    onStart (span) {
      for (let scope = currentScope(); scope !== undefined; scope = scope.enclosing) {
        if (scope.registration.settings.tracing !== tracing) continue
        for (const [key, attribute] of names) {
          const value = attributeOf(fieldOf(scope, key))
          if (value !== undefined) span.setAttribute(attribute, value)
        }
      }
    },
    onEnd () {},
    async forceFlush () {},
    async shutdown () {}
  }
  return tracing
}

/** OpenTelemetry's attributes are primitives. Any other value is written as JSON, or left out if JSON cannot represent it. */
function attributeOf (field: unknown): AttributeValue | undefined {
  if (typeof field === 'string' || typeof field === 'number' || typeof field === 'boolean') return field
  if (field === undefined || field === null) return undefined
  try {
    return JSON.stringify(field)
  } catch {
    // Circular, a bigint, or a throwing toJSON.
    return undefined
  }
}
