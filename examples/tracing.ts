// OpenTelemetry's spans on log lines, the values of the scope on its spans, and a job that continues the same trace.
import { FastifyOtelInstrumentation } from '@fastify/otel'
import { trace } from '@opentelemetry/api'
import { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-node'
import Fastify from 'fastify'
import { createContext, key } from 'fastify-ctx'
import { otel } from 'fastify-ctx/otel'

const tracing = otel({ attributes: { tenant: 'app.tenant', user: 'app.user' } })
const exporter = new InMemorySpanExporter()
const provider = new NodeTracerProvider({ spanProcessors: [tracing, new SimpleSpanProcessor(exporter)] })
provider.register()
const tracer = trace.getTracer('example')

const ctx = createContext({
  tenant: key<string>({ seed: ({ headers }) => headers['x-tenant'], log: true, carry: true }),
  user: key<{ readonly id: string }>({ log: ({ id }) => id })
}, { trace: tracing })

const app = Fastify({ logger: { base: null, timestamp: false } })
const instrumentation = new FastifyOtelInstrumentation()
instrumentation.setTracerProvider(provider)
await app.register(instrumentation.plugin())
await app.register(ctx.plugin)

app.addHook('preHandler', async () => { ctx.set('user', { id: 'ada' }) })
app.get('/', async () => tracer.startActiveSpan('query', (span) => {
  ctx.log.info('rows read')
  span.end()
  return ctx.dehydrate()
}))

const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
const { body: envelope } = await app.inject({ url: '/', headers: { traceparent, 'x-tenant': 'acme', 'x-request-id': 'demo-1' } })

// In another process, later.
await ctx.hydrate(envelope, () => tracer.startActiveSpan('report', (span) => {
  ctx.log.info('report written')
  span.end()
}))
await app.close()

for (const { name, attributes, parentSpanContext } of exporter.getFinishedSpans()) {
  if (!['request', 'query', 'report'].includes(name)) continue
  const parent = exporter.getFinishedSpans().find((span) => span.spanContext().spanId === parentSpanContext?.spanId)
  console.log(`${name}: ${attributes['app.tenant']}, ${attributes['app.user'] ?? 'no user'}, below ${parent?.name ?? 'the caller'}`)
}
await provider.shutdown()
