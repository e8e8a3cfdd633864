import { readFileSync } from 'node:fs'
import { context, trace, TraceFlags, type Span, type SpanContext } from '@opentelemetry/api'
import { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-node'
import Fastify, { type FastifyRequest } from 'fastify'
import t from 'tap'
import ts from 'typescript'
import { createContext, key } from '../../lib/index.ts'
import { otel } from '../../lib/otel.ts'
import { listen, turns, warnings } from '../support/support.ts'

const attributes = { tenant: 'app.tenant', user: 'app.user', any: 'app.any' }
const tracing = otel({ attributes })
const others = otel({ attributes: { region: 'app.region' } })
const exporter = new InMemorySpanExporter()
const provider = new NodeTracerProvider({ spanProcessors: [tracing, others, new SimpleSpanProcessor(exporter)] })
provider.register()
t.teardown(() => provider.shutdown())
const tracer = trace.getTracer('test')

const ctx = createContext({
  tenant: key<string>({ log: true }),
  user: key<{ readonly id: string }>({ log: ({ id }) => id }),
  any: key<unknown>({ log: true }),
  token: key<string>()
}, { trace: tracing })
const other = createContext({ region: key<string>({ log: true }) }, { trace: others })

/** A context with the same keys, whose tenant is carried. */
const carried = createContext({ tenant: key<string>({ log: true, carry: true }), user: key<unknown>({ log: true }), any: key<unknown>({ log: true }) }, { trace: tracing })

/** Ends a span and returns its attributes. */
function told (span: Span): unknown {
  span.end()
  return exporter.getFinishedSpans().find((finished) => finished.spanContext() === span.spanContext())?.attributes
}

/** Calls `fn` with a new active span. */
const within = <R>(fn: (span: Span) => R): R => tracer.startActiveSpan('test', { root: true }, fn)

t.test('tracing.current() returns the active span, and the same object for the same span', async (t) => {
  t.equal(tracing.current(), undefined)
  within((span) => {
    t.same(tracing.current(), span.spanContext())
    t.equal(tracing.current(), tracing.current())
  })
  const broken: SpanContext = { traceId: '0'.repeat(32), spanId: '0'.repeat(16), traceFlags: TraceFlags.NONE }
  context.with(trace.setSpanContext(context.active(), broken), () => { t.equal(tracing.current(), undefined, 'an invalid span is ignored') })
})

t.test('tracing.requestSpan() prefers the span of @fastify/otel to the active span', async (t) => {
  const span = tracer.startSpan('request')
  within((active) => {
    t.equal(tracing.requestSpan({ opentelemetry: () => ({ span }) }), span.spanContext())
    t.equal(tracing.requestSpan({ opentelemetry: () => ({ span: null }) }), active.spanContext(), 'a route that is not traced')
    t.equal(tracing.requestSpan({}), active.spanContext(), 'without that plugin')
  })
  t.equal(tracing.requestSpan({}), undefined)
})

t.test('tracing.withParent() makes a remote span the parent of new spans', async (t) => {
  const place = { traceId: '4bf92f3577b34da6a3ce929d0e0e4736', spanId: '00f067aa0ba902b7', traceFlags: 1 }
  const spans = [undefined, { serialize: () => 'vendor=1' }].map((traceState) => tracing.withParent({ ...place, traceState }, () => {
    t.match(tracing.current(), place)
    const span = tracer.startSpan('below')
    span.end()
    return span
  }))
  for (const span of spans) {
    const finished = exporter.getFinishedSpans().find((one) => one.spanContext() === span.spanContext())
    t.match(finished?.parentSpanContext, { ...place, isRemote: true })
  }
  t.same(spans.map((span) => span.spanContext().traceState?.serialize()), [undefined, 'vendor=1'])
})

t.test('a value set later becomes an attribute of the span in which its root scope began', async (t) => {
  within((span) => {
    ctx.run({ tenant: 'acme', token: 'hush' }, () => {
      tracer.startActiveSpan('below', (below) => {
        ctx.set('user', { id: 'ada' })
        ctx.run({ tenant: 'globex' }, () => {})
        t.same(told(below), { 'app.tenant': 'acme' }, 'the values at its start')
      })
    })
    t.same(told(span), { 'app.tenant': 'acme', 'app.user': 'ada' })
  })
})

t.test('a span gets attributes from the job that began in it, and from no other root inside that job', async (t) => {
  const labelled = await within(async (span) => {
    await ctx.run({ tenant: 'acme' }, async () => {
      ctx.run({ tenant: 'inherit: false' }, () => { ctx.set('user', { id: 'bob' }) }, { inherit: false })
      const envelope = carried.run({ tenant: 'hydrate' }, () => carried.dehydrate())
      await carried.hydrate(envelope, () => { carried.set('user', 'bob') })
      await new Promise<void>((resolve) => {
        ctx.detach(() => {
          ctx.set('user', { id: 'bob' })
          resolve()
        })
      })
      tracer.startActiveSpan('of a query', (below) => {
        ctx.run({ tenant: 'in a span of acme' }, () => { ctx.set('user', { id: 'bob' }) }, { inherit: false })
        t.same(told(below), { 'app.tenant': 'acme' })
      })
    })
    ctx.run({ tenant: 'the next job' }, () => { ctx.set('user', { id: 'bob' }) })
    return told(span)
  })
  t.same(labelled, { 'app.tenant': 'acme' })
})

t.test('a request span gets attributes only from the root scope of its own request', async (t) => {
  const app = Fastify()
  await app.register(ctx.plugin)
  await app.register(other.plugin)
  const spans: Span[] = []
  // Decorates the request as @fastify/otel does.
  app.decorateRequest('opentelemetry', function (this: FastifyRequest) { return { span: spans[Number(this.headers['x-span'])] ?? null } } as never)
  app.addHook('preHandler', async ({ headers }) => {
    ctx.set('tenant', headers['x-tenant'] as string)
    other.set('region', 'eu')
  })
  app.get('/injected', async () => ctx.get('tenant'))
  app.get('/', async () => {
    ctx.run({ tenant: 'inherit: false' }, () => { ctx.set('user', { id: 'bob' }) }, { inherit: false })
    await carried.hydrate(carried.run({ tenant: 'hydrate' }, () => carried.dehydrate()), () => { ctx.run({ tenant: 'in hydrate' }, () => {}, { inherit: false }) })
    await new Promise<void>((resolve) => {
      ctx.detach(() => {
        ctx.set('tenant', 'detached')
        resolve()
      })
    })
    // The injected request is not traced, so the active span is the span of this request.
    const answer = await context.with(trace.setSpan(context.active(), spans.at(-1)!), async () => await app.inject({ url: '/injected', headers: { 'x-tenant': 'injected' } }))
    return [ctx.get('tenant'), answer.body]
  })
  const { url } = await listen(t, app)
  for (let i = 0; i < 2; i++) {
    const span = tracer.startSpan('request')
    spans.push(span)
    const answer = await fetch(url, { headers: { 'x-tenant': 'acme', 'x-span': String(spans.length - 1) } })
    t.same(await answer.json(), ['acme', 'injected'])
    t.same(told(span), { 'app.tenant': 'acme', 'app.region': 'eu' })
  }
})

t.test('a span that starts in a scope gets the values set at that moment, and no later ones', async (t) => {
  const start = (): Span => tracer.startSpan('test')
  const spans = ctx.run({ tenant: 'acme' }, () => {
    const before = start()
    ctx.set('user', { id: 'ada' })
    const own = ctx.run({ tenant: 'globex' }, start)
    const impersonated = ctx.impersonate({ user: { id: 'bob' } }, { reason: 'ticket' }, start)
    const both = other.run({ region: 'eu' }, start)
    const clean = ctx.run({}, start, { inherit: false })
    return { before, own, impersonated, both, clean }
  })
  t.same(told(spans.before), { 'app.tenant': 'acme' })
  t.same(told(spans.own), { 'app.tenant': 'globex', 'app.user': 'ada' })
  t.same(told(spans.impersonated), { 'app.tenant': 'acme', 'app.user': 'bob' })
  t.same(told(spans.both), { 'app.tenant': 'acme', 'app.user': 'ada', 'app.region': 'eu' }, 'for each context, the attributes of its own tracing')
  t.same(told(spans.clean), {})
  t.same(told(start()), {}, 'outside a scope')
})

t.test('an attribute has the value of the log field: primitives unchanged, objects as JSON', async (t) => {
  const ring: { self?: object } = {}
  ring.self = ring
  for (const [value, attribute] of [
    ['text', 'text'], ['', ''], [0, 0], [false, false], [{ a: [1] }, '{"a":[1]}'], [['a', 'b'], '["a","b"]'], [new Date(0), '"1970-01-01T00:00:00.000Z"'],
    [null, undefined], [ring, undefined], [1n, undefined], [() => {}, undefined], [Symbol('s'), undefined]
  ] as const) {
    within((span) => {
      const below = ctx.run({ any: value }, () => tracer.startSpan('below'))
      const expected = attribute === undefined ? {} : { 'app.any': attribute }
      t.same(told(span), expected, String(attribute))
      t.same(told(below), expected)
    })
  }
})

t.test('a mapper that throws drops only its attribute, with one warning', async (t) => {
  const told1 = warnings(t, 'FST_CTX_LOG_MAPPER')
  within((span) => {
    ctx.run({ tenant: 'acme', user: null as unknown as { id: string } }, () => {
      ctx.set('user', undefined)
      const below = tracer.startSpan('below')
      t.same(told(below), { 'app.tenant': 'acme' })
    })
    t.same(told(span), { 'app.tenant': 'acme' })
  })
  await turns()
  t.equal(told1.length, 1)
})

t.test('setAttribute ignores a span that has ended or is not recorded', async (t) => {
  const place = within((span) => {
    span.end()
    return tracing.current()!
  })
  t.doesNotThrow(() => { tracing.setAttribute(place, 'app.tenant', 'acme') })
  t.doesNotThrow(() => { tracing.setAttribute({ ...place }, 'app.tenant', 'acme') }, 'or an unknown span')
})

t.test('without the attributes option no attribute is set, and the span processor does nothing', async (t) => {
  const plain = otel()
  t.equal(plain.attributes.size, 0)
  await plain.forceFlush()
  await plain.shutdown()
  plain.onEnd()
  const bare = createContext({ tenant: key<string>({ log: true }) }, { trace: plain })
  within((span) => {
    bare.run({ tenant: 'acme' }, () => { t.same(bare.trace, span.spanContext()) })
    t.same(told(span), {})
  })
})

t.test('attributes of an unknown key or a key without log are refused', async (t) => {
  for (const name of ['tenat', 'token', 'requestId']) {
    t.throws(() => createContext({ tenant: key<string>({ log: true }), token: key<string>() }, { trace: otel({ attributes: { [name]: 'app.x' } }) }), { code: 'FST_CTX_INVALID_OPTION' }, name)
  }
})

t.test('only the fastify-ctx/otel entry imports OpenTelemetry, including its types', async (t) => {
  /** The packages that a file imports, directly or through other files. */
  function packagesOf (file: URL, seen = new Set<string>()): string[] {
    if (seen.has(file.href)) return []
    seen.add(file.href)
    const { importedFiles } = ts.preProcessFile(readFileSync(file, 'utf8'), true, true)
    return importedFiles.flatMap(({ fileName }) => fileName.startsWith('.') ? packagesOf(new URL(fileName, file), seen) : [fileName])
  }
  const ofOpenTelemetry = (entry: string): string[] => packagesOf(new URL(`../../lib/${entry}.ts`, import.meta.url)).filter((name) => name.includes('opentelemetry'))
  t.same(ofOpenTelemetry('otel'), ['@opentelemetry/api'])
  for (const entry of ['index', 'worker', 'types']) t.same(ofOpenTelemetry(entry), [], entry)
  t.ok(packagesOf(new URL('../../lib/index.ts', import.meta.url)).includes('fastify'))
})
