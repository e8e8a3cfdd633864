import { setTimeout as sleep } from 'node:timers/promises'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import t from 'tap'
import { createContext, ctx as readyMade, key } from '../../../lib/index.ts'
import { gate, Lines, listen, type Tap } from '../../support/support.ts'

const newContext = () => createContext({
  tenant: key<string>({ seed: (request) => request.headers['x-tenant'], log: true, carry: true }),
  user: key<string>({ log: true, carry: true }),
  connection: key<object>({ detach: false })
})

type Ctx = ReturnType<typeof newContext>

const TENANTS = ['acme', 'globex']

async function serve (t: Tap, ctx: Ctx, build: (app: FastifyInstance) => void): Promise<{ readonly ask: (path: string, tenant: string) => Promise<any>, readonly lines: Lines }> {
  const lines = new Lines(t)
  const app: FastifyInstance = Fastify({ logger: { stream: lines } })
  await app.register(ctx.plugin)
  build(app)
  const { url } = await listen(t, app)
  return { lines, ask: async (path, tenant) => await (await fetch(`${url}${path}`, { headers: { 'x-tenant': tenant, 'x-request-id': `of-${tenant}` } })).json() }
}

/** Like a repository. */
const transaction = async <R>(ctx: Ctx, fn: () => Promise<R>): Promise<R> => await ctx.run({ connection: {} }, async () => { await sleep(3); return await fn() })

const of = (request: FastifyRequest): Ctx => request.ctx as unknown as Ctx

t.test('ctx.root in a transaction: a value, the cache, memo and onEnd are those of the request, next to a request of another tenant', async (t) => {
  const ctx = newContext()
  const made: string[] = []
  const ends: string[] = []
  const loadPlan = ctx.root.memo(async (name: string) => {
    made.push(`${name} of ${ctx.get('tenant')}, ${ctx.has('connection') ? 'in' : 'outside'} a transaction`)
    await sleep(5)
    return `${name} of ${ctx.get('tenant')}`
  })
  const rates = async (): Promise<string> => await ctx.root.cache.getOrSet('rates', async () => {
    ctx.onEnd(() => { ends.push(`cache of ${ctx.get('tenant')}`) })
    await sleep(5)
    return `rates for ${ctx.get('tenant')}`
  })
  const { ask } = await serve(t, ctx, (app) => {
    app.get('/', async (request) => {
      const work = async (): Promise<unknown> => await transaction(ctx, async () => {
        of(request).root.onEnd(() => { ends.push(`request of ${ctx.get('tenant')}`) })
        ctx.onEnd(() => { ends.push(`transaction of ${ctx.get('tenant')}`) })
        const found = [await loadPlan('plan'), await rates(), ctx.root.has('connection'), ctx.has('connection')]
        ctx.root.set('user', `user of ${ctx.get('tenant')}`)
        return found
      })
      const [first, second] = await Promise.all([work(), work()])
      return [first, second, ctx.get('user'), ends.filter((end) => end.endsWith(ctx.require('tenant')))]
    })
  })
  const answers = await Promise.all(TENANTS.map((tenant) => ask('/', tenant)))
  await sleep(50)
  for (const [i, tenant] of TENANTS.entries()) {
    const found = [`plan of ${tenant}`, `rates for ${tenant}`, false, true]
    t.same(answers[i], [found, found, `user of ${tenant}`, [`transaction of ${tenant}`, `transaction of ${tenant}`]])
    t.same(made.filter((text) => text.includes(tenant)), [`plan of ${tenant}, outside a transaction`], 'computed once, and not from uncommitted rows')
    t.same(ends.filter((text) => text.endsWith(tenant)), [`transaction of ${tenant}`, `transaction of ${tenant}`, `cache of ${tenant}`, `request of ${tenant}`, `request of ${tenant}`], 'each at its end, in reverse order')
  }
})

t.test('ctx.root: a run with another tenant shares no result with the scopes around it', async (t) => {
  const ctx = newContext()
  const load = ctx.root.memo(() => `rows of ${ctx.get('tenant')}`)
  const cached = (): string => ctx.root.cache.getOrSet('rows', () => `cached rows of ${ctx.get('tenant')}`)
  const { ask } = await serve(t, ctx, (app) => {
    app.get('/', async () => {
      const seen = (): string[] => [load(), cached()]
      return [seen(), ctx.run({ tenant: 'other' }, () => [seen(), ctx.run({ connection: {} }, seen)]), ctx.run({ tenant: undefined }, seen), ctx.run({}, seen), seen()]
    })
  })
  const rows = (tenant: string): string[] => [`rows of ${tenant}`, `cached rows of ${tenant}`]
  for (const tenant of TENANTS) t.same(await ask('/', tenant), [rows(tenant), [rows('other'), rows('other')], rows('undefined'), rows(tenant), rows(tenant)])
})

t.test('ctx.root in an impersonation is the impersonation, so nothing is shared with the real user', async (t) => {
  const ctx = newContext()
  const load = ctx.root.memo(() => `rows of ${ctx.get('tenant')}`)
  const ends: unknown[] = []
  const { ask } = await serve(t, ctx, (app) => {
    app.get('/', async () => {
      const before = [load(), ctx.root.cache.getOrSet('x', () => ctx.get('tenant'))]
      const during = await ctx.impersonate({ tenant: 'customer' }, { reason: 'r' }, async () => await transaction(ctx, async () => {
        ctx.root.set('user', 'the customer')
        ctx.root.onEnd(() => { ends.push(ctx.get('tenant')) })
        return [load(), ctx.root.cache.getOrSet('x', () => ctx.get('tenant')), ctx.root.get('tenant'), ctx.root.run({}, () => ctx.get('tenant')), ctx.get('user'), ctx.root.actor('tenant')]
      }))
      const reasonAlone = ctx.impersonate({}, { reason: 'r' }, () => ctx.root.cache.has('x'))
      await sleep(10)
      return [before, during, reasonAlone, ends, [load(), ctx.root.cache.get('x'), ctx.get('user') ?? null]]
    })
  })
  t.same(await ask('/', 'acme'), [
    ['rows of acme', 'acme'], ['rows of customer', 'customer', 'customer', 'customer', 'the customer', 'acme'], false, ['customer'], ['rows of acme', 'acme', null]
  ])
})

t.test('ctx.root of a request that continues in an inner scope is that scope', async (t) => {
  const ctx = newContext()
  const load = ctx.root.memo(() => `rows of ${ctx.get('tenant')}`)
  const { ask } = await serve(t, ctx, (app) => {
    app.addHook('onRequest', async () => { load() })
    app.addHook('preHandler', (_request, _reply, done) => { ctx.run({ tenant: 'chosen' }, done) })
    app.get('/run', async () => await transaction(ctx, async () => [load(), ctx.root.get('tenant')]))
    app.get('/rest', {
      preHandler: async () => { ctx.impersonate({ tenant: 'customer' }, { reason: 'r', rest: true }) }
    }, async () => await transaction(ctx, async () => { ctx.root.set('user', 'x'); return [load(), ctx.root.get('tenant'), ctx.get('user')] }))
  })
  t.same(await ask('/run', 'acme'), ['rows of chosen', 'chosen'])
  t.same(await ask('/rest', 'acme'), ['rows of customer', 'customer', 'x'])
})

t.test('ctx.root in detached work, in a job and after hydrate is their own root', async (t) => {
  const ctx = newContext()
  const done = gate<unknown>()
  const { ask } = await serve(t, ctx, (app) => {
    app.get('/', async () => {
      ctx.cache.set('x', 'of the request')
      ctx.detach(async () => {
        await sleep(30)
        await transaction(ctx, async () => { ctx.root.set('user', 'detached') })
        done.open([ctx.get('user'), ctx.root.cache.has('x'), ctx.root.get('tenant')])
      })
      return [ctx.get('user') ?? null]
    })
  })
  t.same(await ask('/', 'acme'), [null])
  t.same(await done.promise, ['detached', false, 'acme'])
  await ctx.run({ tenant: 'job' }, async () => {
    await transaction(ctx, async () => { ctx.root.set('user', 'of the job') })
    t.equal(ctx.get('user'), 'of the job')
    const envelope = ctx.dehydrate()
    await ctx.hydrate(envelope, async () => {
      await transaction(ctx, async () => { ctx.root.set('user', 'hydrated') })
      t.same([ctx.get('user'), ctx.root.get('tenant')], ['hydrated', 'job'])
    })
    t.equal(ctx.get('user'), 'of the job')
  })
})

t.test('ctx.root outside a scope and after its end behaves like ctx', async (t) => {
  const ctx = newContext()
  let calls = 0
  const count = ctx.root.memo(() => ++calls)
  t.same([count(), count(), ctx.root.get('tenant'), ctx.root.run({ tenant: 'new' }, () => ctx.get('tenant'))], [1, 2, undefined, 'new'])
  t.throws(() => ctx.root.cache, { code: 'FST_CTX_NO_SCOPE' })
  t.throws(() => { ctx.root.set('user', 'x') }, { code: 'FST_CTX_NO_SCOPE' })
  t.throws(() => { ctx.root.onEnd(() => {}) }, { code: 'FST_CTX_NO_SCOPE' })
  const [over, late] = [gate(), gate<unknown[]>()]
  const { ask } = await serve(t, ctx, (app) => {
    app.get('/', async () => {
      over.promise.then(() => { late.open([() => ctx.root.cache, () => { ctx.root.set('user', 'x') }, () => { ctx.root.onEnd(() => {}) }].map((call) => { try { call(); return 'no error' } catch (error) { return (error as { code: string }).code } })) })
      return []
    })
  })
  await ask('/', 'acme')
  await sleep(50)
  over.open()
  t.same(await late.promise, ['FST_CTX_ENDED', 'FST_CTX_ENDED', 'FST_CTX_ENDED'])
})

t.test('ctx.root: every call acts on the unit of work, root.root is root, and log lines are the request\'s', async (t) => {
  const ctx = newContext()
  t.equal(ctx.root.root, ctx.root)
  const { ask, lines } = await serve(t, ctx, (app) => {
    app.get('/', async (request) => await transaction(ctx, async () => {
      ctx.root.log.info('from the root')
      const bound = ctx.root.bind(() => ctx.has('connection'))
      return [bound(), ctx.root.snapshot()(() => ctx.has('connection')), Object.keys(ctx.root.fields()), of(request).root.root.get('tenant'), ctx.root.run({}, () => ctx.has('connection')), ctx.root.dehydrate().includes('acme')]
    }))
  })
  t.same(await ask('/', 'acme'), [false, false, ['reqId', 'tenant'], 'acme', false, true])
  t.match(lines.one('from the root'), { reqId: 'of-acme', tenant: 'acme' })
  t.equal(readyMade.run({}, () => readyMade.run({}, () => { readyMade.root.cache.set('x', 1); return readyMade.root.cache.get('x') })), 1)
})

t.test('ctx.root with two contexts: values computed in the root of one see the values of the other', async (t) => {
  const [ctx, other] = [newContext(), createContext({ shard: key<string>({ seed: () => 's-1' }) })]
  const load = ctx.root.memo(() => `${ctx.get('tenant')} on ${other.get('shard')}`)
  const cached = (): string => ctx.root.cache.getOrSet('x', () => `${ctx.get('tenant')} on ${other.get('shard')}`)
  const { ask } = await serve(t, ctx, (app) => {
    app.register(async (child) => {
      await child.register(other.plugin)
      child.get('/', async () => [
        await transaction(ctx, async () => [load(), cached()]),
        other.run({ shard: 's-2' }, () => [load(), ctx.run({ connection: {} }, load)]),
        load()
      ])
    })
  })
  t.same(await ask('/', 'acme'), [['acme on s-1', 'acme on s-1'], ['acme on s-2', 'acme on s-2'], 'acme on s-1'])
})

t.test('ctx.root: a cache computes in its own scope, for any calling scope', async (t) => {
  const ctx = newContext()
  ctx.run({ tenant: 'acme' }, () => {
    const { cache } = ctx
    t.equal(ctx.run({ tenant: 'globex' }, () => cache.getOrSet('x', () => ctx.get('tenant'))), 'acme')
    t.equal(ctx.exit(() => cache.getOrSet('y', () => ctx.get('tenant'))), 'acme')
  })
  const { ask } = await serve(t, ctx, (app) => {
    app.get('/', async (request) => {
      const memoized = of(request).memo(() => ctx.get('tenant'))
      return ctx.run({ tenant: 'job' }, () => [memoized(), of(request).cache.getOrSet('x', () => ctx.get('tenant'))], { inherit: false })
    })
  })
  t.same(await ask('/', 'acme'), ['acme', 'acme'])
})
