import { AsyncLocalStorage, createHook, executionAsyncId } from 'node:async_hooks'
import { FastifyOtelInstrumentation } from '@fastify/otel'
import { trace } from '@opentelemetry/api'
import { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor, type ReadableSpan } from '@opentelemetry/sdk-trace-node'
import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import { createContext, key } from '../../lib/index.ts'
import { listen, type Tap } from '../support/support.ts'
import { gates } from '../integration/endings.ts'

const TENANTS = ['alpha', 'beta'] as const
const ORDERS = ['before', 'after', 'without'] as const

const ctx = createContext({ tenant: key<string>({ seed: (request) => request.headers['x-tenant'] }) })

/** An application with another plugin that is registered before or after ours, or without ours. */
async function open (t: Tap, order: typeof ORDERS[number], other: (app: FastifyInstance) => unknown, routes: (app: FastifyInstance) => void): Promise<string> {
  const app = Fastify()
  if (order !== 'after') await other(app)
  if (order !== 'without') await app.register(ctx.plugin)
  if (order === 'after') await other(app)
  routes(app)
  return (await listen(t, app)).url
}

async function postBoth (url: string): Promise<unknown[]> {
  return await Promise.all(TENANTS.map(async (tenant) => {
    const response = await fetch(url, { method: 'POST', headers: { 'x-tenant': tenant, 'content-type': 'application/json' }, body: '{"a":1}' })
    return await response.json()
  }))
}

t.test('a plugin with its own AsyncLocalStorage', async (t) => {
  for (const order of ORDERS) {
    t.test(`${order === 'without' ? 'without ours' : `registered ${order} ours`}: sees its own store in each phase`, async (t) => {
      const storage = new AsyncLocalStorage<{ tenant: unknown }>()
      const seen: unknown[] = []
      const gate = gates(2)
      const url = await open(t, order, (app) => {
        app.addHook('onRequest', (request, _reply, done) => { storage.run({ tenant: request.headers['x-tenant'] }, done) })
      }, (app) => {
        for (const phase of ['preParsing', 'preHandler', 'onSend', 'onResponse'] as const) {
          app.addHook(phase as 'preHandler', async (request) => { if (storage.getStore()?.tenant !== request.headers['x-tenant']) seen.push(phase) })
        }
        app.post('/', async () => {
          gate.reach()
          await gate.reached
          return { theirs: storage.getStore()?.tenant, ours: ctx.get('tenant') }
        })
      })
      t.same(await postBoth(url), TENANTS.map((tenant) => ({ theirs: tenant, ...(order === 'without' ? {} : { ours: tenant }) })))
      t.same(seen, [])
    })
  }
})

t.test('an APM tool that follows async resources with createHook sees the same with and without our plugin', async (t) => {
  async function seenBy (order: typeof ORDERS[number]): Promise<unknown[]> {
    const transactions = new Map<number, string>()
    const hook = createHook({
      init (id) { const current = transactions.get(executionAsyncId()); if (current !== undefined) transactions.set(id, current) },
      destroy (id) { transactions.delete(id) }
    }).enable()
    t.teardown(() => { hook.disable() })
    const url = await open(t, order, (app) => {
      app.addHook('onRequest', (request, _reply, done) => { transactions.set(executionAsyncId(), String(request.headers['x-tenant'])); setImmediate(done) })
    }, (app) => {
      app.addHook('preHandler', async () => { await new Promise((resolve) => { setImmediate(resolve) }) })
      const gate = gates(2)
      app.post('/', async () => {
        const atOnce = transactions.get(executionAsyncId())
        gate.reach()
        await gate.reached
        return { atOnce, later: transactions.get(executionAsyncId()) }
      })
    })
    try {
      return await postBoth(url)
    } finally {
      hook.disable()
    }
  }
  const without = await seenBy('without')
  t.same(without, TENANTS.map((tenant) => ({ atOnce: tenant, later: tenant })))
  t.same(await seenBy('before'), without)
  t.same(await seenBy('after'), without)
})

t.test('OpenTelemetry: the spans of a request have the same parents as without our plugin', async (t) => {
  const exporter = new InMemorySpanExporter()
  const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
  // Its context manager is an AsyncLocalStorage.
  provider.register()
  t.teardown(() => provider.shutdown())
  const tracer = trace.getTracer('test')

  async function parentsOf (order: typeof ORDERS[number]): Promise<Record<string, string[]>> {
    exporter.reset()
    const instrumentation = new FastifyOtelInstrumentation()
    instrumentation.setTracerProvider(provider)
    const gate = gates(2)
    const done = gates(2)
    const url = await open(t, order, async (app) => { await app.register(instrumentation.plugin()) }, (app) => {
      app.addHook('preHandler', async function userHook (request) { tracer.startSpan(`in a hook of ${String(request.headers['x-tenant'])}`).end() })
      app.addHook('onResponse', function userDone (_request, _reply, next) { next(); setImmediate(done.reach) })
      app.post('/', async function userHandler (request) {
        gate.reach()
        await gate.reached
        return tracer.startActiveSpan(`in the handler of ${String(request.headers['x-tenant'])}`, (span) => {
          tracer.startSpan(`below it of ${String(request.headers['x-tenant'])}`).end()
          span.end()
          return { tenant: ctx.get('tenant') }
        })
      })
    })
    await postBoth(url)
    await done.reached
    return namesByParent(exporter.getFinishedSpans())
  }

  const without = await parentsOf('without')
  t.same(without.request?.filter((name) => name.startsWith('handler')).length, 2, 'the parent of a handler span is the request span')
  for (const order of ['before', 'after'] as const) {
    const parents = await parentsOf(order)
    t.same(parents, without, `${order} ours`)
  }
})

/** The names of the child spans by parent, without our own hook, which the user's code did not name. */
function namesByParent (spans: ReadableSpan[]): Record<string, string[]> {
  const byId = new Map(spans.map((span) => [span.spanContext().spanId, span.name]))
  const names: Record<string, string[]> = {}
  for (const span of spans) {
    if (/fastifyCtx/i.test(span.name)) continue
    (names[byId.get(span.parentSpanContext?.spanId ?? '') ?? ''] ??= []).push(span.name)
  }
  for (const list of Object.values(names)) list.sort()
  return names
}
