// @fastify/otel when it registers itself: which of its hooks see the scope.
import { FastifyOtelInstrumentation } from '@fastify/otel'
import { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-node'
import t from 'tap'
import { createContext, key } from '../../lib/index.ts'
import { otel } from '../../lib/otel.ts'
import { OWN, TENANTS, Watch } from './recipes/watch.ts'

const exporter = new InMemorySpanExporter()

t.test('registered at initialization: concurrent spans of two tenants have their own values, lifecycleHook sees them, requestHook runs too early', async (t) => {
  const early: unknown[] = []

  const tracing = otel({ attributes: { tenant: 'app.tenant' } })
  const ctx = createContext({
    tenant: key<string>({ seed: (request) => request.headers['x-tenant'], log: true })
  }, { trace: tracing })
  const instrumentation = new FastifyOtelInstrumentation({
    registerOnInitialization: true,
    requestHook: () => { early.push(ctx.get('tenant')) },
    lifecycleHook: (span) => { span.setAttribute('app.request_id', ctx.get('requestId') ?? 'none') }
  })
  const provider = new NodeTracerProvider({ spanProcessors: [tracing, new SimpleSpanProcessor(exporter)] })
  provider.register()
  instrumentation.setTracerProvider(provider)
  t.teardown(async () => {
    instrumentation.disable()
    await provider.shutdown()
  })

  const watch = new Watch(t, ctx)
  const { app } = watch
  await app.register(ctx.plugin)
  app.addHook('preHandler', async function userHook () { await watch.meet('hook') })
  app.get('/', async function userHandler ({ headers }) {
    await watch.meet('handler')
    watch.see('handler', headers['x-tenant'])
    return 'ok'
  })
  await watch.listen()
  await Promise.all(TENANTS.map(async (tenant) => await watch.ask(tenant, `/?of=${tenant}`)))
  t.same(await watch.completed(), OWN)
  t.same(watch.told(), { handler: 'held' })
  t.same(early, [undefined, undefined])

  const spans = exporter.getFinishedSpans()
  const requests = spans.filter(({ name }) => name === 'request')
  const whose = new Map(requests.map((span) => [span.spanContext().traceId, String(span.attributes['url.path']).replace('/?of=', '')]))
  t.same([...whose.values()].sort(), [...TENANTS])
  // The span of the plugin's own hook begins before the scope does.
  const ofHooks = spans.filter(({ name }) => /user(?:Hook|Handler)$/.test(name))
  t.equal(ofHooks.length, 4, 'one hook and one handler each')
  for (const span of [...requests, ...ofHooks]) t.equal(span.attributes['app.tenant'], whose.get(span.spanContext().traceId), span.name)
  for (const span of ofHooks) t.equal(span.attributes['app.request_id'], `id-${whose.get(span.spanContext().traceId)}`, span.name)
  t.equal(spans.filter(({ attributes }) => attributes['app.request_id'] === 'none').length, 2, 'one span each is that of the hook which opens the scope')
  const lines = watch.lines.all('here')
  t.same(lines.map(({ trace_id: id, tenant }) => whose.get(id) === tenant), [true, true], 'each line names the trace of its own request')
})
