// Options that come from a vault or a configuration plugin, after the file of the context was imported.
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import context, { createContext, ctx as readyMade, key, type CreateOptions, type LateOptions } from '../../lib/index.ts'
import { listen, type Tap } from '../support/support.ts'
import { upstream } from './upstream.ts'

const SECRETS = ['0123456789abcdef0123456789abcdef']
const OTHER = ['fedcba9876543210fedcba9876543210']

const newContext = (options: CreateOptions = {}) => createContext({ tenant: key<string>({ seed: (request) => request.headers['x-tenant'], header: 'x-tenant', carry: true, log: true }) }, options)

type Ctx = ReturnType<typeof newContext>

async function serve (t: Tap, ctx: Ctx, options: LateOptions, origin = ''): Promise<{ readonly app: FastifyInstance, readonly ask: (path: string, tenant: string) => Promise<string> }> {
  const app = Fastify()
  await app.register(ctx.plugin, options)
  app.get('/call', async () => {
    await sleep(5)
    return await (await fetch(origin)).text()
  })
  app.get('/envelope', async () => ctx.dehydrate())
  app.get('/trace', async () => ctx.trace?.traceId ?? 'none')
  const { url } = await listen(t, app)
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
  return { app, ask: async (path, tenant) => await (await fetch(`${url}${path}`, { headers: { 'x-tenant': tenant, traceparent } })).text() }
}

t.test('late options given to register apply to the requests of that application', async (t) => {
  const orders = await upstream(t)
  const ctx = newContext({ envelope: 'late', propagate: 'late' })
  const { ask } = await serve(t, ctx, { propagate: { [orders.origin]: ['tenant'] }, envelope: { secrets: SECRETS }, trace: false }, orders.origin)
  await Promise.all(['acme', 'globex'].map((tenant) => ask('/call', tenant)))
  t.same(orders.all('x-tenant').sort(), ['acme', 'globex'])
  t.equal(await ask('/trace', 'acme'), 'none')
  const envelope = await ask('/envelope', 'acme')
  t.match(envelope, /"signature"/)
  t.equal(await ctx.hydrate(envelope, () => ctx.get('tenant')), 'acme')
  await t.rejects(ctx.hydrate(envelope.replace('acme', 'globex'), () => {}), { code: 'FST_CTX_ENVELOPE_REFUSED' })
})

t.test('two applications share a context: each uses its own late options, and outside both only what both allow applies', async (t) => {
  const [a, b] = [await upstream(t), await upstream(t)]
  const ctx = newContext()
  const first = await serve(t, ctx, { propagate: { [a.origin]: ['tenant'] }, envelope: { secrets: SECRETS } }, a.origin)
  const second = await serve(t, ctx, { propagate: { [b.origin]: ['tenant'] }, envelope: { secrets: OTHER } }, a.origin)
  await first.ask('/call', 'acme')
  await second.ask('/call', 'globex')
  await ctx.run({ tenant: 'job' }, async () => { await fetch(a.origin) })
  t.same(a.all('x-tenant'), ['acme', undefined, undefined], "the origin of one is not the other's")
  for (const { ask } of [first, second]) t.equal(await ctx.hydrate(await ask('/envelope', 'acme'), () => ctx.get('tenant')), 'acme', 'each accepts what it has signed')
  await t.rejects(ctx.hydrate(newContext().run({ tenant: 'acme' }, () => '{}'), () => {}), { code: 'FST_CTX_ENVELOPE_REFUSED' }, 'nothing unsigned')
})

t.test('late options in an encapsulated part apply only to that part', async (t) => {
  const orders = await upstream(t)
  const ctx = newContext()
  const app = Fastify()
  await app.register(async (child) => {
    await child.register(ctx.plugin, { propagate: { [orders.origin]: ['tenant'] } })
    child.get('/in', async () => await (await fetch(orders.origin)).text())
  })
  app.get('/out', async () => await (await fetch(orders.origin)).text())
  const { url } = await listen(t, app)
  for (const path of ['/in', '/out']) await fetch(`${url}${path}`, { headers: { 'x-tenant': 'acme' } })
  t.same(orders.all('x-tenant'), ['acme', undefined])
})

t.test('configure sets late options in a worker without an application', async (t) => {
  const orders = await upstream(t)
  const { ask } = await serve(t, newContext({ envelope: 'late' }), { envelope: { secrets: SECRETS } })
  const envelope = await ask('/envelope', 'acme')
  const worker = newContext({ envelope: 'late', propagate: 'late' })
  worker.configure({ envelope: { secrets: SECRETS }, propagate: { [orders.origin]: ['tenant'] } })
  await worker.hydrate(envelope, async () => { await fetch(orders.origin) })
  t.same(orders.all('x-tenant'), ['acme'])
  await t.rejects(worker.hydrate(envelope.replace('acme', 'globex'), () => {}), { code: 'FST_CTX_ENVELOPE_REFUSED' })
  t.throws(() => { worker.configure({}) }, { code: 'FST_CTX_ALREADY_CONFIGURED' })
  const later = await serve(t, worker, {}, orders.origin)
  await later.ask('/call', 'globex')
  t.same(orders.all('x-tenant'), ['acme', 'globex'], 'and in an application that is registered after it')
  t.throws(() => { worker.configure({}) }, { code: 'FST_CTX_ALREADY_CONFIGURED' })
})

t.test("'late' fails closed until the option is given: nothing is signed, accepted or sent, and no application starts", async (t) => {
  const orders = await upstream(t)
  const ctx = newContext({ envelope: 'late', propagate: 'late' })
  const forged = newContext().run({ tenant: 'globex' }, () => 'forged')
  const code = { code: 'FST_CTX_NOT_CONFIGURED' }
  let called = 0
  await t.rejects(ctx.hydrate(forged, () => { called++ }), code)
  await t.rejects(ctx.hydrate(forged, () => { called++ }, { for: 'a job' }), code)
  await ctx.run({ tenant: 'acme' }, async () => {
    t.throws(() => ctx.dehydrate(), code)
    t.throws(() => ctx.dehydrate({ for: 'a job' }), code)
    t.throws(() => ctx.headersFor(orders.origin), code)
    await t.rejects(fetch(orders.origin), { cause: code })
  })
  await fetch(orders.origin)
  t.same([called, orders.all('x-tenant')], [0, [undefined]], 'outside a scope there is nothing to send')
  t.throws(() => { ctx.configure({ envelope: {}, propagate: {} }) }, { code: 'FST_CTX_ALREADY_CONFIGURED', message: 'a scope of the context was opened before' })
  await t.rejects(async () => { await Fastify().register(ctx.plugin) }, code)
  const { ask } = await serve(t, ctx, { envelope: {}, propagate: {} })
  t.equal(await ctx.hydrate(await ask('/envelope', 'acme'), () => ctx.get('tenant')), 'acme')
})

t.test('configure gives the ready-made context its keys in a worker', async (t) => {
  readyMade.configure({ keys: { tenant: { carry: true, log: true } }, envelope: { secrets: SECRETS } })
  const envelope = readyMade.run({ tenant: 'acme' } as never, () => readyMade.dehydrate())
  t.equal(await readyMade.hydrate(envelope, () => readyMade.get('tenant' as never)), 'acme')
  await t.rejects(async () => { await Fastify().register(context, { keys: {} }) }, { code: 'FST_CTX_INVALID_OPTION', message: "'keys' was given already" })
  const app = Fastify()
  await app.register(context, { propagate: { 'https://api.example': ['requestId'] } })
  app.get('/', async () => Object.keys(readyMade.headersFor('https://api.example')))
  const { url } = await listen(t, app)
  t.same(await (await fetch(url)).json(), ['x-request-id'])
})
