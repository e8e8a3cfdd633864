// A Fastify that has renamed the internals we read, as a later release may: its symbols are renamed before it is loaded.
import { setTimeout as wait } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import t from 'tap'

const { Symbol: original } = globalThis
globalThis.Symbol = new Proxy(original, {
  apply: (_target, _this, [description]: [string | undefined]) => original(description?.replace(/^fastify\./, 'renamed.'))
})
const { default: Fastify } = await import('fastify')
globalThis.Symbol = original
const { createContext, key } = await import('../../lib/index.ts')
const { fastifyHas, Lines, listen, warnings } = await import('../support/support.ts')

t.test('the symbols are renamed', async (t) => {
  const names = Object.getOwnPropertySymbols(Fastify()).map(({ description }) => description ?? '')
  t.ok(names.some((name) => name.startsWith('renamed.')))
  t.notOk(names.some((name) => name.startsWith('fastify.')))
})

t.test('with renamed internals one warning each names what does not work; values, log lines, required keys, time limits and ends still do', async (t) => {
  const seen = warnings(t, 'FST_CTX_NOT_REPLACED')
  const ctx = createContext({ tenant: key<string>({ seed: (request) => request.headers['x-tenant-id'] as string | undefined, log: true }) })
  const lines = new Lines(t)
  const app: FastifyInstance = Fastify({ logger: { stream: lines } })
  await app.register(ctx.plugin)
  const late: unknown[] = []
  const ended: unknown[] = []
  app.addHook('onRequest', async () => { ctx.onEnd(() => { ended.push(ctx.get('tenant')) }) })
  app.post('/', async (request) => { request.log.info('in the handler'); return { tenant: ctx.get('tenant') } })
  app.get('/late', async (_request, reply) => { reply.send('early'); await wait(40); late.push(ctx.get('tenant')) })
  app.get('/closed', { config: { context: { require: ['tenant' as never] } } }, async () => 'open')
  app.get('/limit', { handlerTimeout: 20 }, async () => { await new Promise((resolve) => { ctx.signal.addEventListener('abort', resolve) }) })
  const { url } = await listen(t, app)
  const headers = { 'x-tenant-id': 'acme', 'x-request-id': 'id-1', 'content-type': 'application/json' }
  t.same(await (await fetch(url, { method: 'POST', headers, body: '{}' })).json(), { tenant: 'acme' })
  await lines.until('request completed')
  for (const message of ['in the handler', 'request completed']) t.match(lines.one(message), { reqId: 'id-1', tenant: 'acme' })
  t.equal(await (await fetch(`${url}/late`, { headers })).text(), 'early')
  t.equal((await fetch(`${url}/closed`)).status, 400)
  t.equal((await fetch(`${url}/closed`, { headers })).status, 200)
  t.equal((await fetch(`${url}/limit`, { headers })).status, 503)
  await wait(80)
  t.same(late, ['acme'], 'without them the plugin does not know when a handler is done, so the end drops no values')
  t.same(ended, ['acme', 'acme', undefined, 'acme', 'acme'])
  t.match(seen.map(({ message }) => message), [...fastifyHas('LogController') ? [/incomingRequest, .* of the log controller of Fastify cannot be replaced here/] : [], /onRequest, .* of the route of a request cannot be replaced here, so this does not hold: a hook or handler that is called by a shared callback/])
})

t.test('with renamed internals closing, a second context, a 404 and reenter: false work', async (t) => {
  const contexts = [0, 1].map((i) => createContext({ tenant: key<string>({ seed: () => `acme ${i}` }) }))
  for (const reenter of [true, false]) {
    const app: FastifyInstance = Fastify()
    for (const ctx of contexts) await app.register(ctx.plugin, { reenter })
    app.setNotFoundHandler(async () => contexts.map((ctx) => ctx.get('tenant')))
    app.get('/', (_request, reply) => { reply.callNotFound() })
    const { url } = await listen(t, app)
    for (const path of ['/', '/none']) t.same(await (await fetch(url + path)).json(), ['acme 0', 'acme 1'])
    await app.close()
  }
})
