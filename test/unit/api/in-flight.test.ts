import { once } from 'node:events'
import net from 'node:net'
import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import { createContext, ctx as readyMade, key, FST_CTX_INVALID_ARGUMENT, type OpenScope } from '../../../lib/index.ts'
import { gate, Lines, listen, turns, type Tap } from '../../support/support.ts'

const newContext = () => createContext({
  tenant: key<string>({ seed: ({ headers }) => headers['x-tenant'] as string | undefined, log: true, carry: true }),
  user: key<{ readonly id: string, readonly email: string }>({ log: true }),
  token: key<string>({ seed: () => 'secret-token' })
}, { diagnostics: false })

type Ctx = ReturnType<typeof newContext>

/** The rows without the parts that differ between runs. */
const shapes = (scopes: readonly OpenScope[]): Array<Partial<OpenScope>> => scopes.map(({ kind, requestId, route, phase, name, fields }) => ({ kind, requestId, route, phase, name, fields }))

async function start (t: Tap, ctx: Ctx, routes: (app: FastifyInstance) => void, logger: object = { stream: new Lines(t) }): Promise<{ readonly url: string, readonly port: number }> {
  const app = Fastify({ logger })
  await app.register(ctx.plugin)
  routes(app)
  return await listen(t, app)
}

t.test('inFlight lists an open request with its id, route, phase and logged fields, until it ends', async (t) => {
  const ctx = newContext()
  const [entered, open] = [gate(), gate()]
  const { url } = await start(t, ctx, (app) => {
    app.get('/orders/:id', async () => {
      entered.open()
      await open.promise
      return ctx.get('tenant')
    })
  })
  t.same(ctx.inFlight().scopes, [])
  const answer = fetch(`${url}/orders/7`, { headers: { 'x-tenant': 'acme', 'x-request-id': 'r-1' } })
  await entered.promise
  await new Promise((resolve) => { setTimeout(resolve, 30) })
  const { open: count, counts, scopes } = ctx.inFlight()
  t.same(shapes(scopes), [{ kind: 'request', requestId: 'r-1', route: '/orders/:id', phase: 'handler', name: undefined, fields: { tenant: 'acme' } }])
  t.match(scopes[0], { aborted: false, remaining: undefined, current: false })
  t.ok(scopes[0]!.age >= 20 && scopes[0]!.age < 60_000, `an age of ${scopes[0]!.age} ms`)
  t.same(count, { request: 1, run: 0, detached: 0, onEnd: 0 })
  t.match(counts, { opened: 1, ended: 0 })
  t.notMatch(JSON.stringify(ctx.inFlight()), 'secret-token')
  open.open()
  t.equal(await (await answer).text(), 'acme')
  await turns(10)
  t.match(ctx.inFlight(), { counts: { opened: 1, ended: 1, collected: 0 }, scopes: [] })
})

t.test('inFlight: the rows of two requests of two tenants have their own fields', async (t) => {
  const ctx = newContext()
  ctx.inFlight()
  const entered = [gate(), gate()]
  const open = gate()
  const { url } = await start(t, ctx, (app) => {
    app.get('/:n', async ({ params }) => { entered[Number((params as { n: string }).n)]!.open(); await open.promise; return 'ok' })
  })
  const answers = ['acme', 'globex'].map((tenant, n) => fetch(`${url}/${n}`, { headers: { 'x-tenant': tenant, 'x-request-id': `id-${tenant}` } }))
  for (const { promise } of entered) await promise
  t.same(ctx.inFlight().scopes.map(({ requestId, fields }) => [requestId, fields.tenant]).sort(), [['id-acme', 'acme'], ['id-globex', 'globex']])
  open.open()
  await Promise.all(answers)
})

t.test('inFlight lists the oldest scopes first up to the limit, and counts all', async (t) => {
  const ctx = newContext()
  ctx.inFlight()
  const open = gate()
  const jobs = [1, 2, 3].map((n) => ctx.run({ requestId: `job-${n}`, tenant: 'acme' }, async function nightly () { await open.promise }))
  t.same(shapes(ctx.inFlight().scopes), [1, 2, 3].map((n) => ({ kind: 'run', requestId: `job-${n}`, route: undefined, phase: undefined, name: 'nightly', fields: { tenant: 'acme' } })))
  const { open: count, scopes } = ctx.inFlight({ limit: 2 })
  t.same(scopes.map(({ requestId }) => requestId), ['job-1', 'job-2'])
  t.equal(count.run, 3)
  t.same(ctx.inFlight({ limit: 0 }).scopes, [])
  open.open()
  await Promise.all(jobs)
  t.same(ctx.inFlight().scopes, [])
})

t.test('inFlight refuses a limit that is not a whole number', async (t) => {
  for (const limit of [-1, 1.5, NaN, '1' as never]) t.throws(() => newContext().inFlight({ limit }), FST_CTX_INVALID_ARGUMENT, String(limit))
})

t.test('inFlight lists runs inside a request while their function runs, each with its own fields', async (t) => {
  const ctx = newContext()
  ctx.inFlight()
  const [entered, open] = [gate(), gate()]
  const { url } = await start(t, ctx, (app) => {
    app.get('/', async () => {
      await ctx.run({}, async () => {})
      await ctx.run({ user: { id: 'ada', email: 'ada@acme' } }, async function outer () {
        await ctx.impersonate({ tenant: 'globex' }, { reason: 'ticket 1' }, async () => { entered.open(); await open.promise })
      })
      return 'ok'
    })
  })
  const answer = fetch(url, { headers: { 'x-tenant': 'acme', 'x-request-id': 'r-1' } })
  await entered.promise
  const user = { id: 'ada', email: 'ada@acme' }
  t.same(shapes(ctx.inFlight().scopes), [
    { kind: 'request', requestId: 'r-1', route: '/', phase: 'handler', name: undefined, fields: { tenant: 'acme' } },
    { kind: 'run', requestId: 'r-1', route: '/', phase: 'handler', name: 'outer', fields: { tenant: 'acme', user } },
    { kind: 'run', requestId: 'r-1', route: '/', phase: 'handler', name: undefined, fields: { tenant: 'globex', user, actor: { tenant: 'acme' }, reason: 'ticket 1' } }
  ])
  open.open()
  await answer
})

t.test('inFlight lists detached work after its request has ended, also if it started before the first call or outside any scope', async (t) => {
  const ctx = newContext()
  const open = gate()
  const { url } = await start(t, ctx, (app) => {
    app.get('/', async () => {
      ctx.detach(async function mailReceipt () { await ctx.run({}, async function inner () { await open.promise }) })
      ctx.after(async () => { await open.promise })
      return 'ok'
    })
  })
  await (await fetch(url, { headers: { 'x-tenant': 'acme', 'x-request-id': 'r-1' } })).text()
  await turns(10)
  ctx.detach(async function sweep () { await open.promise })
  await ctx.inFlight()
  const fields = { tenant: 'acme' }
  t.same(shapes(ctx.inFlight().scopes), [
    { kind: 'detached', requestId: 'r-1', route: '/', phase: undefined, name: 'mailReceipt', fields },
    { kind: 'detached', requestId: 'r-1', route: '/', phase: undefined, name: 'an anonymous function', fields },
    { kind: 'detached', requestId: undefined, route: undefined, phase: undefined, name: 'sweep', fields: {} }
  ])
  await (await fetch(url, { headers: { 'x-request-id': 'r-2' } })).text()
  await turns(10)
  t.same(ctx.inFlight().scopes.filter(({ requestId }) => requestId === 'r-2').map(({ kind, name }) => `${kind} ${name}`), ['detached mailReceipt', 'run inner', 'detached an anonymous function'])
  open.open()
  await turns(10)
  t.same(ctx.inFlight().scopes, [])
})

t.test('inFlight lists onEnd callbacks while they run, next to the request that waits for them', async (t) => {
  const ctx = newContext()
  ctx.inFlight()
  const open = gate()
  const { url } = await start(t, ctx, (app) => { app.get('/', async () => { ctx.onEnd(async () => { await open.promise }); return 'ok' }) })
  await (await fetch(url, { headers: { 'x-request-id': 'r-1' } })).text()
  await turns(10)
  t.same(ctx.inFlight().scopes.map(({ kind, requestId, name }) => ({ kind, requestId, name })), [
    { kind: 'request', requestId: 'r-1', name: undefined },
    { kind: 'onEnd', requestId: 'r-1', name: undefined }
  ])
  open.open()
  await turns(10)
  t.same(ctx.inFlight().scopes, [])
})

t.test('inFlight shows a disconnected client, a time limit that passed, an aborted signal and the remaining time', async (t) => {
  const ctx = newContext()
  ctx.inFlight()
  const [entered, open] = [gate(), gate()]
  const { port } = await start(t, ctx, (app) => { app.get('/', async () => { entered.open(); await open.promise; return 'ok' }) })
  const socket = net.connect(port, '127.0.0.1')
  socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n')
  await entered.promise
  t.equal(ctx.inFlight().scopes[0]!.aborted, false)
  socket.destroy()
  await once(socket, 'close')
  while (!ctx.inFlight().scopes[0]!.aborted) await turns()
  t.match(ctx.inFlight().scopes, [{ kind: 'request', aborted: true, remaining: undefined }], 'and the request is listed as long as its handler runs')
  const controller = new AbortController()
  const runs = [
    ctx.run({ requestId: 'late' }, async () => { await open.promise }, { deadline: Date.now() - 1 }),
    ctx.run({ requestId: 'limited' }, async () => { await open.promise }, { timeout: 60_000 }),
    ctx.run({ requestId: 'stopped' }, async () => { await open.promise }, { signal: controller.signal })
  ]
  controller.abort()
  const byId = Object.fromEntries(ctx.inFlight().scopes.map(({ requestId, aborted, remaining }) => [requestId, { aborted, remaining }]))
  t.same(byId.late, { aborted: true, remaining: 0 })
  t.equal(byId.limited!.aborted, false)
  t.ok(byId.limited!.remaining! > 50_000 && byId.limited!.remaining! <= 60_000)
  t.same(byId.stopped, { aborted: true, remaining: undefined })
  open.open()
  await Promise.all(runs)
})

t.test('inFlight marks the request that calls it and its runs, and no other request', async (t) => {
  const ctx = newContext()
  ctx.inFlight()
  const [entered, open] = [gate(), gate()]
  const { url } = await start(t, ctx, (app) => {
    app.get('/held', async () => { entered.open(); await open.promise; return 'ok' })
    app.get('/asks', async (request) => ctx.run({}, () => request.ctx.inFlight()))
  })
  const held = fetch(`${url}/held`)
  await entered.promise
  const { scopes } = await (await fetch(`${url}/asks`)).json() as { scopes: OpenScope[] }
  t.same(scopes.map(({ route, kind, current }) => [route, kind, current]), [['/held', 'request', false], ['/asks', 'request', true], ['/asks', 'run', true]])
  open.open()
  await held
})

t.test('inFlight writes fields as the application\'s logger does, with its serializers and redaction', async (t) => {
  const ctx = newContext()
  ctx.inFlight()
  const [entered, open] = [gate(), gate()]
  const app = (app: FastifyInstance): void => {
    app.get('/', async () => { ctx.set('user', { id: 'ada', email: 'ada@acme' }); entered.open(); await open.promise; return 'ok' })
  }
  const logger = { stream: new Lines(t), redact: ['user.email'], serializers: { tenant: (tenant: string) => tenant.toUpperCase() } }
  const { url } = await start(t, ctx, app, logger)
  const answer = fetch(url, { headers: { 'x-tenant': 'acme' } })
  await entered.promise
  t.same(ctx.inFlight().scopes[0]!.fields, { tenant: 'ACME', user: { id: 'ada', email: '[Redacted]' } })
  open.open()
  await answer
})

t.test('inFlight calls a mapper in its own scope, and drops only the field of a mapper that throws', async (t) => {
  const ctx = createContext({
    tenant: key<string>({ log: (tenant): string => `${tenant} in ${ctx.get('region')}` }),
    region: key<string>(),
    broken: key<string>({ log: () => { throw new Error('broken') } })
  })
  ctx.inFlight()
  const open = gate()
  const job = ctx.run({ tenant: 'acme', region: 'eu', broken: 'x' }, async () => { await open.promise })
  ctx.run({ tenant: 'globex', region: 'us' }, () => {
    t.same(ctx.inFlight().scopes[0]!.fields, { tenant: 'acme in eu' })
  })
  open.open()
  await job
})

t.test('inFlight lists detached work of an ended request with the fields of its log lines', async (t) => {
  const ctx = newContext()
  const [over, started, open] = [gate(), gate(), gate()]
  const { url } = await start(t, ctx, (app) => {
    app.get('/', async () => {
      ctx.set('user', { id: 'ada', email: 'ada@acme' })
      over.promise.then(() => { ctx.detach(async function late () { started.open(); await open.promise }) }).catch(t.fail)
      return 'ok'
    })
  })
  await (await fetch(url, { headers: { 'x-tenant': 'acme' } })).text()
  await turns(10)
  over.open()
  await started.promise
  t.same(ctx.inFlight().scopes.map(({ kind, name, fields }) => ({ kind, name, fields })), [{ kind: 'detached', name: 'late', fields: { tenant: 'acme', user: { id: 'ada', email: 'ada@acme' } } }])
  open.open()
})

t.test('inFlight lists the scopes of its own context only; warning counts are those of the process', async (t) => {
  const [ctx, other] = [newContext(), newContext()]
  ctx.inFlight()
  other.inFlight()
  const open = gate()
  const job = ctx.run({ requestId: 'job-1' }, async () => { await open.promise })
  other.run({}, () => {
    t.equal(other.inFlight().open.run, 1)
    ctx.detach(async function ofBoth () { await open.promise })
  })
  t.same(other.inFlight().scopes, [])
  t.same(ctx.inFlight().scopes.map(({ kind, name, fields }) => ({ kind, name, fields })), [{ kind: 'run', name: undefined, fields: {} }, { kind: 'detached', name: 'ofBoth', fields: {} }])
  const before = readyMade.inFlight().warnings.FST_CTX_BACKGROUND ?? 0
  ctx.detach(async () => { throw new Error('nobody listens') })
  await turns()
  t.equal(readyMade.inFlight().warnings.FST_CTX_BACKGROUND, before + 1)
  t.ok(readyMade.inFlight().since > 0)
  open.open()
  await job
})
