import Fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import t from 'tap'
import { createContext, key } from '../../../lib/index.ts'
import { inject } from '../../../lib/patches/inject.ts'
import { Lines, listen, type Tap } from '../../support/support.ts'

const ctx = createContext({ tenant: key<string>({ seed: (request) => request.headers['x-tenant-id'], log: true }) })

/** An application with a hook before the plugin, whose routes inject requests into it. */
async function start (t: Tap, ask: (app: FastifyInstance, seen: unknown[]) => Promise<unknown>): Promise<{ url: string, seen: unknown[], lines: Lines }> {
  const seen: unknown[] = []
  const lines = new Lines(t)
  const app: FastifyInstance = Fastify({
    logger: { level: 'info', stream: lines },
    frameworkErrors: (_error, _request, reply) => { seen.push(['frameworkErrors', ctx.get('tenant')]); (reply as unknown as FastifyReply).code(400).send('bad') }
  })
  app.addHook('onRequest', async (request) => { if (request.url.startsWith('/inner')) seen.push(['before the plugin', ctx.get('tenant')]) })
  await app.register(ctx.plugin)
  app.get('/inner', async () => ctx.get('tenant') ?? 'none')
  app.get('/outer', async () => { await ask(app, seen); seen.push(['after it', ctx.get('tenant')]); return ctx.get('tenant') })
  return { ...await listen(t, app), seen, lines }
}

const INNER = { url: '/inner', headers: { 'x-tenant-id': 'globex' } }

for (const [form, ask] of Object.entries({
  'a promise': async (app: FastifyInstance, seen: unknown[]) => { seen.push(['answer', (await app.inject(INNER)).body, ctx.get('tenant')]) },
  'a callback': async (app: FastifyInstance, seen: unknown[]) => {
    await new Promise<void>((resolve) => { app.inject(INNER, (_error, answer) => { seen.push(['answer', answer!.body, ctx.get('tenant')]); setTimeout(resolve, 20) }) })
  },
  'a chain that ends with a callback': async (app: FastifyInstance, seen: unknown[]) => {
    await new Promise<void>((resolve) => { app.inject().get('/inner').headers(INNER.headers).end((_error, answer) => { seen.push(['answer', answer!.body, ctx.get('tenant')]); resolve() }) })
  },
  'a chain with then': async (app: FastifyInstance, seen: unknown[]) => {
    await app.inject().get('/inner').headers(INNER.headers).then((answer) => { seen.push(['answer', answer.body, ctx.get('tenant')]) })
  },
  'a chain with then, whose first callback is left out': async (app: FastifyInstance, seen: unknown[]) => {
    const answer = await app.inject().get('/inner').headers(INNER.headers).then(undefined, () => undefined) as unknown as { body: string }
    seen.push(['answer', answer.body, ctx.get('tenant')])
  },
  'a chain that nobody awaits': async (app: FastifyInstance, seen: unknown[]) => {
    const chain = app.inject().get('/inner').headers(INNER.headers)
    await new Promise((resolve) => { setTimeout(resolve, 30) })
    seen.push(['answer', (chain as unknown as { _hasInvoked: boolean })._hasInvoked ? 'globex' : 'not sent', ctx.get('tenant')])
  }
})) {
  t.test(`a request injected in a handler by ${form} is a separate request, and the caller keeps its scope`, async (t) => {
    const { url, seen, lines } = await start(t, ask)
    t.equal(await (await fetch(`${url}/outer`, { headers: { 'x-tenant-id': 'acme' } })).text(), 'acme')
    t.same(seen, [['before the plugin', undefined], ['answer', 'globex', 'acme'], ['after it', 'acme']])
    await lines.until('request completed', 2)
    const incoming = lines.all('incoming request').map(({ req, tenant }) => [req.url, tenant])
    t.same(incoming, [['/outer', undefined], ['/inner', undefined]], 'its first line has nothing of the caller')
  })
}

t.test('frameworkErrors of an injected request does not see the caller\'s tenant', async (t) => {
  const { url, seen } = await start(t, async (app) => await app.inject('/inner/%c0'))
  await fetch(`${url}/outer`, { headers: { 'x-tenant-id': 'acme' } })
  t.same(seen.filter(([where]: any) => where === 'frameworkErrors'), [['frameworkErrors', undefined]])
})

t.test('inject is restored when the last context has closed, unless something else replaced it since', async (t) => {
  const app = Fastify()
  const before = app.inject
  const child = await new Promise<FastifyInstance>((resolve) => { app.register(async (child) => { resolve(child) }); app.ready(() => {}) })
  t.ok(inject.available(app))
  const first = inject.install(app)
  const second = inject.install(child)
  t.not(app.inject, before)
  t.equal(app.inject.length, before.length)
  t.equal(app.inject.name, before.name)
  first()
  t.not(app.inject, before)
  second()
  t.equal(app.inject, before)
  second()
  const again = inject.install(app)
  const theirs = async (): Promise<never> => { throw new Error('not called') }
  app.inject = theirs as never
  again()
  t.equal(app.inject, theirs)
  await app.close()
})
