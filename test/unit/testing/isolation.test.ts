import { AssertionError } from 'node:assert'
import { setImmediate as turn } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { createContext, key } from '../../../lib/index.ts'
import { assertIsolated, type IsolationOptions } from '../../../lib/testing/isolation.ts'
import type { IsolationError } from '../../../lib/testing/report.ts'
import type { MakeRequest } from '../../../lib/testing/sent-request.ts'
import { gate, Lines } from '../../support/support.ts'
import * as applications from './applications.ts'

// Several thousand requests, which take minutes on a busy machine.
t.setTimeout(900_000)

const SEEDS = Array.from({ length: 20 }, (_, seed) => seed)

const get: MakeRequest = (canary) => ({ url: '/orders', headers: { 'x-tenant-id': canary } })
const post: MakeRequest = (canary) => ({ method: 'POST', url: '/orders', headers: { 'x-tenant-id': canary }, body: { note: 'a text of some length', of: canary } })
const fails: MakeRequest = (canary) => ({ url: '/fails', headers: { 'x-tenant-id': canary } })

/** The error of a run. Without a crossing, its list of crossings is empty. */
async function crossed (app: FastifyInstance, requests: MakeRequest | readonly MakeRequest[], options?: IsolationOptions): Promise<Pick<IsolationError, 'crossings' | 'message' | 'seed'>> {
  try {
    const { seed } = await assertIsolated(app, requests, options)
    return { crossings: [], message: '', seed }
  } catch (error) {
    if (!(error instanceof AssertionError)) throw error
    return error as IsolationError
  }
}

/** An application with a context, closed after the test. */
async function start (t: Test, build: (app: FastifyInstance, get: () => string | undefined) => void, options = {}): Promise<FastifyInstance> {
  const ctx = createContext({ tenant: key<string>({ seed: (request) => request.headers['x-tenant-id'] }) })
  const app = Fastify(options)
  t.teardown(() => app.close())
  await app.register(ctx.plugin)
  build(app, () => ctx.get('tenant'))
  return app
}

const ALL_SEEDS = Array.from({ length: 100 }, (_, seed) => seed)

for (const [name, request, title, least = 10] of [
  ['moduleVariable', get, 'a variable of the module'],
  ['moduleVariableOverBody', post, 'a variable of the module, and nothing is waited for but the body'],
  ['cachingLoader', get, 'a DataLoader that all requests share'],
  ['batchingLoader', get, 'a DataLoader that all requests share, which caches nothing'],
  ['loaderAtOnce', get, 'a DataLoader that all requests share, whose handler calls load at once'],
  ['lazySubscriber', get, 'a subscriber that the first request makes', 7],
  ['sessionStore', get, 'a session store whose callbacks another request calls'],
  ['poolWithSet', get, 'a pool whose connections keep what was SET', 1],
  ['queue', get, 'a p-queue'],
  ['callbackPool', get, 'a pool with callbacks']
] as ReadonlyArray<readonly [name: keyof typeof applications, request: MakeRequest, title: string, least?: number]>) {
  t.test(`${title}: the bug is found with each of ${SEEDS.length} seeds`, async (t) => {
    const counts: number[] = []
    for (const seed of SEEDS) {
      const app = await applications[name]()
      const { crossings, seed: told } = await crossed(app, request, { seed })
      await app.close()
      counts.push(crossings.length)
      t.equal(told, seed)
      t.ok(crossings.every(({ where }) => where === 'body'))
    }
    t.comment(`crossings of 64 requests: ${Math.min(...counts)} to ${Math.max(...counts)}`)
    t.ok(Math.min(...counts) >= least, `${least} crossings or more`)
  })
}

t.test(`a correct application passes with each of ${ALL_SEEDS.length} seeds, including its errors and its work after the response`, async (t) => {
  const lines = new Lines(t)
  const app = await applications.correct({ logger: { stream: lines } })
  t.teardown(() => app.close())
  for (const seed of ALL_SEEDS) {
    const found = await assertIsolated(app, [get, post, fails], { seed })
    if (!isDeepStrictEqual(found, { seed, requests: 132, statuses: { 200: 44, 201: 44, 500: 44 } })) t.fail(`seed ${seed}: ${JSON.stringify(found)}`)
  }
  t.equal(lines.all('order mailed').length, 44 * ALL_SEEDS.length)
})

t.test('a crossing that appears in only one place is found there', async (t) => {
  for (const where of ['header', 'log', 'value', 'error'] as const) {
    let last: string | undefined
    const ctx = createContext({ tenant: key<string>({ seed: (request) => request.headers['x-tenant-id'] }), plan: key<string>() })
    const app = Fastify({ logger: { stream: { write () {} } } })
    t.teardown(() => app.close())
    await app.register(ctx.plugin)
    app.get('/orders', async function listOrders (request, reply) {
      last = ctx.get('tenant')
      await turn()
      if (where === 'header') reply.header('x-tenant', last)
      if (where === 'log') request.log.warn(`read for ${last}`)
      if (where === 'value') ctx.set('plan', `plan of ${last}`)
      if (where === 'error') throw new Error(`no orders of ${last}`)
      return { tenant: ctx.get('tenant') }
    })
    const { crossings, message } = await crossed(app, get, { seed: 1 })
    const found = crossings.filter((crossing) => crossing.where === (where === 'error' ? 'body' : where))
    t.not(found.length, 0, where)
    t.match(found[0], { reader: { method: 'GET', url: '/orders', route: '/orders' }, owner: { url: '/orders' } })
    if (where === 'header') t.match(found[0], { at: 'x-tenant', line: undefined })
    if (where === 'log') t.match(found[0], { at: /^read for /, logger: 'warn', line: /^async listOrders \(.*isolation\.test\.ts:\d+:\d+\)|listOrders/ })
    if (where === 'value') t.match(found[0], { at: 'plan', line: /listOrders \(.*isolation\.test\.ts/ })
    if (where === 'error') t.match(found[0], { at: 'message' })
    t.match(message, /seed: 1 }/)
  }
})

t.test('an application keeps listening, or is closed again, as before: after success and after failure', async (t) => {
  for (const [build, isIsolated] of [[applications.correct, true], [applications.moduleVariable, false]] as const) {
    for (const listens of [true, false]) {
      const app = await build()
      t.teardown(() => app.close())
      if (listens) await app.listen({ port: 0, host: '127.0.0.1' })
      t.equal((await crossed(app, get)).crossings.length === 0, isIsolated)
      t.equal(app.server.listening, listens)
      t.equal((await app.inject('/orders')).statusCode, 200)
    }
  }
})

t.test('ignore accepts a value that every request may see', async (t) => {
  const names: string[] = []
  const app = await start(t, (app, get) => {
    app.get('/orders', async () => {
      names.push(get()!)
      return { own: get(), names }
    })
  })
  t.not((await crossed(app, get)).crossings.length, 0)
  t.same(await crossed(app, get, { seed: 3, ignore: ({ where, at }) => where === 'body' && at.startsWith('names') }), { crossings: [], message: '', seed: 3 })
  t.not((await crossed(app, get, { ignore: ({ where }) => where === 'header' })).crossings.length, 0)
})

t.test('a request may be created asynchronously, for example after a login or an insert', async (t) => {
  const sessions = new Map<string, string>()
  const app = await start(t, (app) => {
    app.post('/login', async (request) => {
      const id = String(sessions.size)
      sessions.set(id, String(request.headers['x-tenant-id']))
      return id
    })
    app.get('/me', async (request) => sessions.get(String(request.headers.cookie)))
  })
  const me: MakeRequest = async (canary) => {
    const { body } = await app.inject({ method: 'POST', url: '/login', headers: { 'x-tenant-id': canary } })
    return { url: '/me', headers: { cookie: body } }
  }
  t.match(await assertIsolated(app, me, { rounds: 1, concurrency: 3 }), { requests: 6, statuses: { 200: 6 } })
})

t.test('a request without an answer fails the run, because it was not checked', async (t) => {
  const never = gate()
  const app = await start(t, (app, get) => {
    app.get('/orders', async () => {
      await never.promise
      return get()
    })
  })
  await t.rejects(assertIsolated(app, get, { rounds: 1, concurrency: 2, timeout: 50, seed: 5 }), { name: 'AssertionError', message: /^4 of 4 requests had no answer.*request 1, GET \/orders: no answer within 50 ms.*seed: 5/s, crossings: [] })
  never.open()
})

t.test('a request that cannot reveal a crossing is refused: it has no canary, or its canary appears nowhere', async (t) => {
  const app = await start(t, (app) => { app.get('/orders', async () => 'none of anybody') })
  await t.rejects(assertIsolated(app, [get, () => ({ url: '/orders' })]), { code: 'FST_CTX_INVALID_ARGUMENT', message: /request 2, GET \/orders, is the same for every canary/ })
  await t.rejects(assertIsolated(app, [get, (canary) => ({ url: '/orders', headers: { 'x-other': canary } })]), { code: 'FST_CTX_INVALID_ARGUMENT', message: /request 2, GET \/orders \(status 200\), was in no response/ })
  t.equal(app.server.listening, false)
})

t.test('invalid arguments are refused before any request is sent', async (t) => {
  let calls = 0
  const app = await start(t, (app) => { app.addHook('onRequest', async () => { calls++ }) })
  for (const requests of [undefined, null, [], 'url', { url: '/' }, [get, { url: '/' }]]) await t.rejects(assertIsolated(app, requests as never), { code: 'FST_CTX_INVALID_ARGUMENT' }, JSON.stringify(requests))
  for (const options of [{ sed: 1 }, { seed: -1 }, { seed: 1.5 }, { seed: '1' }, { rounds: 0 }, { concurrency: 1 }, { timeout: 0 }, { timeout: 2 ** 31 }, { loggers: {} }, { ignore: /x/ }]) {
    await t.rejects(assertIsolated(app, get, options as never), { code: 'FST_CTX_INVALID_ARGUMENT' }, JSON.stringify(options))
  }
  for (const other of [undefined, {}, Promise.resolve(app)]) await t.rejects(assertIsolated(other as never, get), { code: 'FST_CTX_INVALID_ARGUMENT' })
  t.equal(calls, 0)
})

t.test('two parallel runs, on one application or on two, do not affect each other, and the logger is restored', async (t) => {
  const lines = new Lines(t)
  const [good, bad] = [await applications.correct({ logger: { stream: lines } }), await applications.moduleVariable()]
  t.teardown(() => Promise.all([good.close(), bad.close()]))
  await good.listen({ port: 0, host: '127.0.0.1' })
  const [first, second, third] = await Promise.all([crossed(good, [get, post]), crossed(good, get), crossed(bad, get)])
  t.same([first.crossings, second.crossings], [[], []])
  t.not(third.crossings.length, 0)
  t.notOk(Object.hasOwn(lines, 'write'))
})
