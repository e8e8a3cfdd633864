// W3C Trace Context without a tracer: the incoming trace is kept, logged and propagated.
import Fastify from 'fastify'
import t from 'tap'
import { createContext, key } from '../../lib/index.ts'
import type { CreateOptions } from '../../lib/config/options.ts'
import { exchange, gate, Lines, listen, type Tap } from '../support/support.ts'
import { upstream } from './upstream.ts'

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const SPAN = '00f067aa0ba902b7'
const TRACEPARENT = `00-${TRACE}-${SPAN}-01`
const FIELDS = { trace_id: TRACE, span_id: SPAN, trace_flags: '01' }

/** An application that calls a listed origin, and returns the trace of its request. */
async function serve (t: Tap, options: CreateOptions = {}) {
  const target = await upstream(t)
  const lines = new Lines(t)
  const ctx = createContext({ tenant: key<string>({ log: true, header: 'x-tenant', carry: true }) }, { propagate: { [target.origin]: ['requestId'] }, ...options })
  const app = Fastify({ logger: { stream: lines } })
  await app.register(ctx.plugin)
  const during = { handler () {} }
  app.get('/', async (request) => {
    ctx.log.info('handled')
    during.handler()
    await (await fetch(target.origin)).text()
    return { trace: ctx.trace ?? null, same: request.ctx.trace === ctx.trace, state: ctx.trace?.traceState?.serialize(), envelope: ctx.dehydrate() }
  })
  const { url, port } = await listen(t, app)
  const get = async (headers: Record<string, string> = {}): Promise<any> => await (await fetch(url, { headers })).json()
  return { ctx, during, target, lines, port, get }
}

t.test('a request with a valid traceparent: ctx.trace, its log lines and its calls belong to that trace', async (t) => {
  const { target, lines, get } = await serve(t)
  const { trace, same, state } = await get({ traceparent: TRACEPARENT, tracestate: 'vendor=1' })
  t.match(trace, { traceId: TRACE, spanId: SPAN, traceFlags: 1 })
  t.same([same, state], [true, 'vendor=1'])
  await lines.until('request completed')
  for (const message of ['handled', 'request completed']) t.match(lines.one(message), FIELDS, message)
  t.notOk('trace_id' in lines.one('incoming request'), 'which is written before the scope opens')
  t.match(target.calls[0]?.headers, { traceparent: new RegExp(`^00-${TRACE}-(?!${SPAN})[0-9a-f]{16}-01$`), tracestate: 'vendor=1' })
})

t.test('a missing or invalid traceparent: no trace, no fields, no header', async (t) => {
  const { target, lines, get } = await serve(t)
  const invalid = [`ff-${TRACE}-${SPAN}-01`, `00-${TRACE}-${SPAN}-01-more`, `00-${'0'.repeat(32)}-${SPAN}-01`, `00-${TRACE}-${'0'.repeat(16)}-01`, TRACEPARENT.toUpperCase(), `00-${TRACE}-${SPAN}`, 'x'.repeat(2000)]
  for (const headers of [{}, { tracestate: 'vendor=1' }, ...invalid.map((traceparent) => ({ traceparent, tracestate: 'vendor=1' }))]) {
    const { trace, envelope } = await get(headers)
    t.equal(trace, null)
    t.notMatch(envelope, /trace/)
  }
  t.same(lines.all().filter((line) => 'trace_id' in line || 'span_id' in line || 'trace_flags' in line), [])
  t.same(target.calls.filter(({ headers }) => 'traceparent' in headers || 'tracestate' in headers), [])
})

t.test('a later traceparent version is continued as version 00', async (t) => {
  const { target, get } = await serve(t)
  t.match((await get({ traceparent: `cc-${TRACE}-${SPAN}-05-what-the-future` })).trace, { traceId: TRACE, traceFlags: 5 })
  t.match(target.calls[0]?.headers.traceparent, new RegExp(`^00-${TRACE}-[0-9a-f]{16}-01$`))
})

t.test('repeated headers: two traceparents are ignored, two tracestates are joined', async (t) => {
  const { lines, port } = await serve(t)
  const raw = (...headers: string[]): string => ['GET / HTTP/1.1', 'host: a', 'connection: close', ...headers, '', ''].join('\r\n')
  t.match(await exchange(port, raw(`traceparent: ${TRACEPARENT}`, `traceparent: ${TRACEPARENT}`)), /"trace":null/)
  t.match(await exchange(port, raw(`TraceParent: ${TRACEPARENT}`, 'tracestate: a=1', 'tracestate: ', 'tracestate: b=2')), /"state":"a=1,b=2"/)
  t.equal(lines.all('handled').filter((line) => line.trace_id === TRACE).length, 1)
})

t.test('trace: false ignores incoming headers', async (t) => {
  const { target, lines, get } = await serve(t, { trace: false })
  t.equal((await get({ traceparent: TRACEPARENT })).trace, null)
  t.notOk('traceparent' in target.calls[0]!.headers)
  t.notOk('trace_id' in lines.one('handled'))
})

t.test('concurrent requests each have their own trace', async (t) => {
  const { get, target } = await serve(t)
  const traces = Array.from({ length: 20 }, (_, i) => (i + 1).toString(16).padStart(32, '0'))
  const answers = await Promise.all(traces.map(async (traceId) => (await get({ traceparent: `00-${traceId}-${SPAN}-00`, 'x-request-id': traceId })).trace.traceId as string))
  t.same(answers, traces)
  for (const { headers } of target.calls) t.equal(headers.traceparent?.slice(3, 35), headers['x-request-id'])
})

t.test('nested scopes and detached work belong to the trace of their request', async (t) => {
  const { ctx, during, lines, get } = await serve(t)
  const done = gate()
  during.handler = () => {
    ctx.run({ tenant: 'acme' }, () => { ctx.log.info('within run') })
    ctx.after(() => {
      ctx.log.info('after')
      done.open()
    })
  }
  await get({ traceparent: TRACEPARENT })
  await done.promise
  for (const message of ['within run', 'after']) t.match(lines.one(message), FIELDS, message)
  t.equal(ctx.trace, undefined, 'outside any scope there is none')
  ctx.run({}, () => { t.equal(ctx.trace, undefined, 'nor in a separate root') })
})

t.test('a job that hydrates an envelope continues the trace', async (t) => {
  const { ctx, target, lines, get } = await serve(t)
  const { envelope } = await get({ traceparent: TRACEPARENT, tracestate: 'vendor=1' })
  t.match(JSON.parse(envelope), { traceparent: TRACEPARENT, tracestate: 'vendor=1' })
  await ctx.hydrate(envelope, async () => {
    t.match(ctx.trace, { traceId: TRACE, spanId: SPAN, traceFlags: 1 })
    ctx.log.info('in the job')
    await (await fetch(target.origin)).text()
    t.match(JSON.parse(ctx.dehydrate()), { traceparent: TRACEPARENT, tracestate: 'vendor=1' }, 'and passes it on')
  })
  t.match(lines.one('in the job'), FIELDS)
  t.match(target.calls.at(-1)?.headers, { traceparent: new RegExp(`^00-${TRACE}-(?!${SPAN})`), tracestate: 'vendor=1' })
})

t.test('an envelope with an invalid trace is accepted without it', async (t) => {
  const { ctx, get } = await serve(t)
  const { envelope } = await get({ traceparent: TRACEPARENT })
  for (const traceparent of [`00-${TRACE}-${'0'.repeat(16)}-01`, 'x']) {
    await ctx.hydrate(JSON.stringify({ ...JSON.parse(envelope), traceparent }), () => { t.same([ctx.trace, ctx.has('requestId')], [undefined, true]) })
  }
})
