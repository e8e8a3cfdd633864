import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import t from 'tap'
import { createContext, key, FST_CTX_INSPECT_NO_CONTEXT, FST_CTX_INSPECT_UNGUARDED, FST_CTX_INVALID_OPTION } from '../../lib/index.ts'
import inspect, { type Report } from '../../lib/inspect.ts'
import { HOSTILE } from '../support/hostile.ts'
import { gate, listen, type Tap } from '../support/support.ts'

const newContext = () => createContext({
  tenant: key<string>({ seed: ({ headers }) => headers['x-tenant'] as string | undefined, log: true }),
  token: key<string>({ seed: () => 'secret-token' })
}, { diagnostics: false })

async function requireAdmin ({ headers }: FastifyRequest): Promise<void> {
  if (headers.authorization !== 'admin') throw Object.assign(new Error('who are you?'), { statusCode: 401 })
}

async function start (t: Tap, register: (app: FastifyInstance) => Promise<unknown>, ctx = newContext()) {
  const app = Fastify()
  await app.register(ctx.plugin)
  await register(app)
  const [entered, open] = [gate(), gate()]
  app.get('/held/:id', async () => { entered.open(); await open.promise; return 'ok' })
  const { url } = await listen(t, app)
  return { app, url, entered, open, ctx }
}

t.test('the inspection page and its data require that the preHandler passes', async (t) => {
  const { url, entered, open } = await start(t, async (app) => await app.register(inspect, { preHandler: requireAdmin }))
  for (const path of ['/_ctx', '/_ctx/data']) {
    const refused = await fetch(`${url}${path}`)
    t.equal(refused.status, 401, path)
    t.notMatch(await refused.text(), /requestId|<html/)
  }
  const held = fetch(`${url}/held/1`, { headers: { 'x-tenant': 'globex', 'x-request-id': 'r-1' } })
  await entered.promise
  const page = await fetch(`${url}/_ctx`, { headers: { authorization: 'admin' } })
  t.equal(page.status, 200)
  t.match(page.headers.get('content-type'), 'text/html')
  t.match(page.headers.get('content-security-policy'), "default-src 'none'")
  t.notMatch(await page.text(), /globex|r-1/, 'the page itself holds no value')
  const answer = await fetch(`${url}/_ctx/data`, { headers: { authorization: 'admin', 'x-request-id': 'own' } })
  t.match(answer.headers.get('content-type'), 'application/json')
  t.equal(answer.headers.get('cache-control'), 'no-store')
  const text = await answer.text()
  t.notMatch(text, 'secret-token', 'a key without log is not in it')
  const { contexts } = JSON.parse(text) as Report
  t.same(contexts[0]!.inFlight.scopes.map(({ requestId, route, fields, current }) => ({ requestId, route, fields, current })), [
    { requestId: 'r-1', route: '/held/:id', fields: { tenant: 'globex' }, current: false },
    { requestId: 'own', route: '/_ctx/data', fields: {}, current: true }
  ])
  open.open()
  await held
})

t.test('with several preHandlers each one is called', async (t) => {
  const asked: string[] = []
  const { url } = await start(t, async (app) => await app.register(inspect, { path: '/ctx', preHandler: [async () => { asked.push('first') }, requireAdmin] }))
  t.equal((await fetch(`${url}/ctx/data`)).status, 401)
  t.same(asked, ['first'])
})

t.test('the page is served under its prefix, with or without a slash, and only for GET', async (t) => {
  const { url } = await start(t, async (app) => {
    await app.register(inspect, { prefix: '/admin', unsafe: true })
    await app.register(inspect, { prefix: '/ops', path: '/', unsafe: true })
  })
  for (const path of ['/admin/_ctx', '/admin/_ctx/data', '/ops/', '/ops/data']) t.equal((await fetch(`${url}${path}`)).status, 200, path)
  t.equal((await fetch(`${url}/_ctx`)).status, 404)
  t.equal((await fetch(`${url}/admin/_ctx/data`, { method: 'POST' })).status, 404)
  t.equal((await fetch(`${url}/admin/_ctx`, { method: 'HEAD' })).status, 404)
})

t.test('the page lists requests that were opened before its first use', async (t) => {
  const { url, entered, open } = await start(t, async (app) => await app.register(inspect, { unsafe: true }))
  const held = fetch(`${url}/held/1`)
  await entered.promise
  const { contexts: [context] } = await (await fetch(`${url}/_ctx/data`)).json() as Report
  t.equal(context!.inFlight.open.request, 2)
  open.open()
  await held
})

t.test('the page shows the contexts of the part of the application in which it is registered', async (t) => {
  const app = Fastify()
  await app.register(async (child) => {
    await child.register(newContext().plugin)
    await child.register(inspect, { path: '/child', unsafe: true })
  })
  t.teardown(() => app.close())
  const { contexts } = (await app.inject('/child/data')).json<Report>()
  t.equal(contexts.length, 1)
})

t.test('hostile tenants arrive as JSON without anything that a browser would parse as markup', async (t) => {
  const { url, ctx } = await start(t, async (app) => await app.register(inspect, { unsafe: true }))
  const open = gate()
  const jobs = HOSTILE.map((tenant) => ctx.run({ tenant }, async () => { await open.promise }))
  const answer = await fetch(`${url}/_ctx/data`)
  t.equal(answer.headers.get('x-content-type-options'), 'nosniff')
  const { contexts: [context] } = await answer.json() as Report
  t.same(context!.inFlight.scopes.flatMap(({ fields: { tenant } }) => tenant ?? []), HOSTILE)
  open.open()
  await Promise.all(jobs)
})

t.test('invalid inspect options are refused at registration', async (t) => {
  await t.rejects(async () => { await Fastify().register(newContext().plugin).register(inspect, {}) }, FST_CTX_INSPECT_UNGUARDED)
  await t.rejects(async () => { await Fastify().register(newContext().plugin).register(inspect, { path: '/x' }) }, FST_CTX_INSPECT_UNGUARDED)
  await t.rejects(async () => { await Fastify().register(inspect, { unsafe: true }) }, FST_CTX_INSPECT_NO_CONTEXT)
  await t.rejects(async () => { await Fastify().register(newContext().plugin).register(inspect, { unsafe: true, refresh: 1 } as never) }, FST_CTX_INVALID_OPTION)
})
