/**
 * OpenTelemetry: its spans on log lines, in envelopes and in outgoing calls, and keys as attributes of spans.
 *
 * @module fastify-ctx/otel
 */
import { context, createTraceState, isSpanContextValid, trace, type AttributeValue, type Context as OtelContext, type Span } from '@opentelemetry/api'
import { ownOptions } from './common/own-options.ts'
import { fieldOf } from './logging/fields.ts'
import { currentScope } from './scope/storage.ts'
import type { Trace, Tracing } from './tracing/trace-context.ts'

/** How OpenTelemetry and a context meet. */
export interface OtelOptions {
  /** The keys that become attributes of spans, and the attributes' names: what log lines carry of the key, which needs `log`. */
  readonly attributes?: Readonly<Record<string, string>>
}

/** What the option `trace` takes, and a span processor. */
export interface OtelTracing extends Tracing {
  /** Gives a span that starts in a scope the attributes of that scope. */
  onStart (span: Span, parent: OtelContext): void
  /** Does nothing: a span processor has it. */
  onEnd (): void
  /** Does nothing: a span processor has it. */
  forceFlush (): Promise<void>
  /** Does nothing: a span processor has it. */
  shutdown (): Promise<void>
}

/** What `@fastify/otel` decorates requests with. */
interface TracedRequest { opentelemetry?: () => { readonly span: Span | null } }

/**
 * Makes OpenTelemetry's spans the truth for a context: log lines, envelopes and outgoing calls name the active span, and
 * the keys in `attributes` become attributes of the span of each request. Given to a tracer provider as a span processor,
 * of all spans that start in a scope, too.
 *
 * Register `@fastify/otel` before the context: it makes the span of the request.
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

  /** The place of a span, by which it is found again. */
  function traceOfSpan (span: Span | null | undefined): Trace | undefined {
    const place = span?.spanContext()
    if (place === undefined || !isSpanContextValid(place)) return undefined
    spans.set(place, span!)
    return place
  }

  const tracing: OtelTracing = {
    attributes: names,
    current: () => traceOfSpan(trace.getActiveSpan()),
    // The span that is active in a hook may be that of the hook alone.
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

/** OpenTelemetry's attributes are plain: anything else is told as JSON, and what is none is not. */
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
