// OpenTelemetry's own SDK and @fastify/otel: log lines follow their spans, and the spans get the values of our scopes.
import { FastifyOtelInstrumentation } from '@fastify/otel'
import { SpanKind, trace, type Span } from '@opentelemetry/api'
import { UndiciInstrumentation } from '@opentelemetry/instrumentation-undici'
import { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor, type ReadableSpan } from '@opentelemetry/sdk-trace-node'
import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import { createContext, key, type Propagate } from '../../lib/index.ts'
import { otel } from '../../lib/otel.ts'
import { gate, Lines, listen, type LogLine, type Tap } from '../support/support.ts'
import { upstream, type Upstream } from '../integration/upstream.ts'

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const TRACEPARENT = `00-${TRACE}-00f067aa0ba902b7-01`

const tracing = otel({ attributes: { tenant: 'app.tenant', user: 'app.user' } })
const exporter = new InMemorySpanExporter()
const provider = new NodeTracerProvider({ spanProcessors: [tracing, new SimpleSpanProcessor(exporter)] })
provider.register()
t.teardown(() => provider.shutdown())
t.beforeEach(() => { exporter.reset() })
const tracer = trace.getTracer('test')

const contextFor = (propagate: Propagate = {}) => createContext({
  tenant: key<string>({ seed: ({ headers }) => headers['x-tenant'], log: true, header: 'x-tenant', carry: true }),
  user: key<{ readonly id: string, readonly groups: string[] }>({ log: ({ id, groups }) => ({ id, groups }) })
}, { trace: tracing, propagate })

/** An application with @fastify/otel registered before or after our plugin. */
async function serve (t: Tap, ctx: ReturnType<typeof contextFor>, routes: (app: FastifyInstance) => void, order: 'before' | 'after' = 'before') {
  const instrumentation = new FastifyOtelInstrumentation()
  instrumentation.setTracerProvider(provider)
  const lines = new Lines(t)
  const app = Fastify({ logger: { stream: lines } })
  if (order === 'before') await app.register(instrumentation.plugin())
  await app.register(ctx.plugin)
  if (order === 'after') await app.register(instrumentation.plugin())
  routes(app)
  const { url } = await listen(t, app)
  const get = async (tenant: string, headers: Record<string, string> = {}): Promise<string> => {
    const text = await (await fetch(url, { headers: { 'x-tenant': tenant, ...headers } })).text()
    await lines.until('request completed')
    return text
  }
  return { lines, get }
}

const finished = (name: string): ReadableSpan => exporter.getFinishedSpans().find((span) => span.name.startsWith(name))!
const fieldsOf = (span: Pick<Span, 'spanContext'>): object => ({ trace_id: span.spanContext().traceId, span_id: span.spanContext().spanId, trace_flags: '01' })
const placeOf = (line: LogLine): object => ({ trace_id: line.trace_id, span_id: line.span_id, trace_flags: line.trace_flags })

t.test('log lines name the span that is active when they are written', async (t) => {
  const ctx = contextFor()
  const active: Record<string, object> = {}
  const write = (where: string): void => {
    active[where] = fieldsOf(trace.getActiveSpan()!)
    ctx.log.info(where)
  }
  const { lines, get } = await serve(t, ctx, (app) => {
    for (const hook of ['preHandler', 'onSend', 'onResponse'] as const) app.addHook(hook as 'preHandler', async function userHook () { write(hook) })
    app.get('/', async function userHandler () {
      write('handler')
      tracer.startActiveSpan('child', (child) => {
        write('child')
        child.end()
      })
      ctx.run({ tenant: 'globex' }, () => { write('run') })
      return 'ok'
    })
  })
  await get('acme', { traceparent: TRACEPARENT })
  for (const [where, fields] of Object.entries(active)) t.same(placeOf(lines.one(where)), fields, where)
  t.same(placeOf(lines.one('child')), fieldsOf(finished('child')))
  t.same(placeOf(lines.one('handler')), fieldsOf(finished('handler')))
  t.not(lines.one('handler').span_id, lines.one('child').span_id)
  t.equal(finished('request').spanContext().traceId, TRACE, 'in the trace from the request\'s header')
  t.equal(lines.one('request completed').trace_id, TRACE)
})

t.test('the span of a request has the values of the seeds, and values set later', async (t) => {
  const ctx = contextFor()
  const { get } = await serve(t, ctx, (app) => {
    app.addHook('preHandler', async () => { ctx.set('user', { id: 'ada', groups: ['a', 'b'] }) })
    app.get('/', async () => {
      tracer.startSpan('in the handler').end()
      ctx.run({ tenant: 'globex' }, () => { tracer.startSpan('in run').end() })
      ctx.impersonate({ tenant: 'initech' }, { reason: 'ticket' }, () => { tracer.startSpan('in impersonate').end() })
      return 'ok'
    })
  })
  await get('acme')
  const user = '{"id":"ada","groups":["a","b"]}'
  t.match(finished('request').attributes, { 'app.tenant': 'acme', 'app.user': user })
  t.match(finished('handler').attributes, { 'app.tenant': 'acme', 'app.user': user })
  t.same(['in the handler', 'in run', 'in impersonate'].map((name) => finished(name).attributes), ['acme', 'globex', 'initech'].map((tenant) => ({ 'app.tenant': tenant, 'app.user': user })))
})

t.test('concurrent requests of two tenants: each span has its own values', async (t) => {
  const ctx = contextFor()
  const both = gate()
  let waiting = 0
  const { get } = await serve(t, ctx, (app) => {
    app.get('/', async () => {
      if (++waiting === 2) both.open()
      await both.promise
      const tenant = ctx.require('tenant')
      tracer.startSpan(`of ${tenant}`).end()
      return trace.getActiveSpan()!.spanContext().traceId
    })
  })
  const tenants = ['acme', 'globex']
  const traces = await Promise.all(tenants.map(async (tenant) => await get(tenant)))
  for (const [i, tenant] of tenants.entries()) {
    const spans = exporter.getFinishedSpans().filter((span) => span.spanContext().traceId === traces[i])
    t.ok(spans.length >= 3, 'the request, its handler, and the spans that they began')
    // The first hooks begin before the seed is read.
    t.same([...new Set(spans.map(({ attributes }) => attributes['app.tenant'] ?? tenant))], [tenant])
    t.equal(finished(`of ${tenant}`).attributes['app.tenant'], tenant)
  }
})

t.test('a line written in the work of another request names the trace of its own request', async (t) => {
  const ctx = contextFor()
  const [parked, resumed] = [gate<() => void>(), gate()]
  const began: Record<string, string> = {}
  const { lines, get } = await serve(t, ctx, (app) => {
    app.get('/', async ({ log }) => {
      const tenant = ctx.require('tenant')
      began[tenant] = trace.getActiveSpan()!.spanContext().traceId
      if (tenant === 'acme') parked.open(() => { log.info('of acme') })
      else {
        (await parked.promise)()
        resumed.open()
      }
      await resumed.promise
      return 'ok'
    })
  })
  await Promise.all([get('acme'), get('globex')])
  t.not(began.acme, began.globex)
  t.equal(lines.one('of acme').trace_id, began.acme)
})

t.test('registered after ours: lines still name the active span, child spans have the values, the span of the request has not', async (t) => {
  const ctx = contextFor()
  const { lines, get } = await serve(t, ctx, (app) => {
    app.get('/', async () => {
      ctx.log.info('handled')
      tracer.startSpan('below').end()
      return 'ok'
    })
  }, 'after')
  await get('acme')
  t.same(placeOf(lines.one('handled')), fieldsOf(finished('handler')))
  t.equal(finished('below').attributes['app.tenant'], 'acme')
})

t.test('a job continues the trace: its first span is a child of the span in which the envelope was created', async (t) => {
  const ctx = contextFor()
  const { lines, get } = await serve(t, ctx, (app) => { app.get('/', async () => ctx.dehydrate()) })
  const envelope = await get('acme')
  const handler = finished('handler').spanContext()
  await ctx.hydrate(envelope, () => {
    ctx.log.info('before its first span')
    tracer.startActiveSpan('job', (span) => {
      ctx.log.info('in the job')
      span.end()
    })
  })
  const job = finished('job')
  t.match(job.parentSpanContext, { traceId: handler.traceId, spanId: handler.spanId, isRemote: true })
  t.same(job.attributes, { 'app.tenant': 'acme' })
  t.same(placeOf(lines.one('before its first span')), fieldsOf({ spanContext: () => handler }))
  t.same(placeOf(lines.one('in the job')), fieldsOf(job))
})

t.test('a job that already runs in a span of its worker stays in that trace', async (t) => {
  const ctx = contextFor()
  const { get } = await serve(t, ctx, (app) => { app.get('/', async () => ctx.dehydrate()) })
  const envelope = await get('acme')
  await tracer.startActiveSpan('worker', { root: true }, async (worker) => {
    await ctx.hydrate(envelope, () => { t.same(ctx.trace, worker.spanContext()) })
    worker.end()
  })
  t.equal(finished('worker').attributes['app.tenant'], 'acme')
})

t.test('outgoing calls', async (t) => {
  const traceparents = ({ calls }: Upstream): string[] => calls.flatMap(({ raw }) => raw.filter((_, i) => raw[i - 1]?.toLowerCase() === 'traceparent'))

  /** Calls one listed and one unlisted origin in a request. */
  async function called (t: Tap) {
    const [listed, other] = [await upstream(t), await upstream(t)]
    const ctx = contextFor({ [listed.origin]: ['tenant'] })
    const { get } = await serve(t, ctx, (app) => {
      app.get('/', async () => {
        for (const { origin } of [listed, other]) await (await fetch(origin)).text()
        return ctx.headersFor(listed.origin)
      })
    })
    return { listed, other, headers: JSON.parse(await get('acme', { traceparent: TRACEPARENT })) as Record<string, string> }
  }

  t.test('have the active span as their parent', async (t) => {
    const { listed, other, headers } = await called(t)
    const expected = `00-${TRACE}-${finished('handler').spanContext().spanId}-01`
    t.same(traceparents(listed), [expected])
    t.same(traceparents(other), [])
    t.equal(headers.traceparent, expected, 'also those with headersFor')
  })

  t.test("with OpenTelemetry's instrumentation of undici, traceparent is left to it and is sent once", async (t) => {
    const instrumentation = new UndiciInstrumentation()
    instrumentation.setTracerProvider(provider)
    t.teardown(() => { instrumentation.disable() })
    const { listed, other } = await called(t)
    // Only calls of the handler: the test's own calls are instrumented too.
    const { spanId, traceId } = finished('handler').spanContext()
    const spans = exporter.getFinishedSpans().filter(({ kind, parentSpanContext }) => kind === SpanKind.CLIENT && parentSpanContext?.spanId === spanId)
    t.equal(spans.length, 2, 'it creates a span per call')
    t.same([...traceparents(listed), ...traceparents(other)], spans.map((span) => `00-${traceId}-${span.spanContext().spanId}-01`))
    t.same(listed.all('x-tenant'), ['acme'])
    t.same(other.all('x-tenant'), [undefined])

    const unaware = createContext({ tenant: key<string>({ header: 'x-tenant' }) }, { propagate: { [listed.origin]: ['tenant'] } })
    const envelope = JSON.stringify({ v: 1, requestId: 'id-1', values: {}, traceparent: TRACEPARENT })
    await unaware.hydrate(envelope, async () => await unaware.run({ tenant: 'globex' }, async () => await (await fetch(listed.origin)).text()))
    t.equal(listed.all('x-tenant')[1], 'globex')
    t.equal(traceparents(listed).length, 2, 'once per call, also by a context without OpenTelemetry')
  })
})
