import DataLoader from 'dataloader'
import Fastify from 'fastify'
import t from 'tap'
import { createContext, key } from '../../../lib/index.ts'
import { gate, listen, turns, unhandled } from '../../support/support.ts'

const ctx = createContext({ tenant: key<string>(), user: key<string>() })

t.test('cache: throws outside a scope', async (t) => {
  t.throws(() => ctx.cache, { code: 'FST_CTX_NO_SCOPE' })
})

t.test('cache: get, set, has, delete and clear work like those of a Map', async (t) => {
  ctx.run({}, () => {
    const { cache } = ctx
    const a = {}
    t.equal(cache.get('a'), undefined)
    t.equal(cache.set('a', 1).set(a, undefined).set(NaN, null), cache)
    t.same([cache.get('a'), cache.get(a), cache.get(NaN)], [1, undefined, null])
    t.same([cache.has('a'), cache.has(a), cache.has({}), cache.has(NaN), cache.has('b')], [true, true, false, true, false])
    t.same([cache.delete('a'), cache.delete('a'), cache.has('a')], [true, false, false])
    cache.clear()
    t.notOk(cache.has(a))
  })
})

t.test('cache: one scope has one cache; nested, parallel and later scopes have others', async (t) => {
  const go = gate()
  await ctx.run({}, async () => {
    ctx.cache.set('k', 'outer')
    const branch = (name: string): Promise<unknown> => ctx.run({}, async () => {
      t.notOk(ctx.cache.has('k'))
      ctx.cache.set('k', name)
      await go.promise
      return ctx.cache.get('k')
    })
    const branches = [branch('a'), branch('b')]
    go.open()
    t.same(await Promise.all(branches), ['a', 'b'])
    t.equal(ctx.cache.get('k'), 'outer')
  })
  ctx.run({}, () => { t.notOk(ctx.cache.has('k')) })
})

t.test('getOrSet', async (t) => {
  t.test('calls the factory once, even if it returns undefined or null', async (t) => {
    ctx.run({}, () => {
      for (const value of [7, undefined, null]) {
        let calls = 0
        const make = (): unknown => { calls++; return value }
        t.equal(ctx.cache.getOrSet(`key of ${value}`, make), value)
        t.equal(ctx.cache.getOrSet(`key of ${value}`, make), value)
        t.equal(calls, 1)
      }
    })
  })

  t.test('keeps nothing after the factory throws', async (t) => {
    ctx.run({}, () => {
      t.throws(() => ctx.cache.getOrSet('k', () => { throw new Error('not now') }), { message: 'not now' })
      t.notOk(ctx.cache.has('k'))
      t.equal(ctx.cache.getOrSet('k', () => 1), 1)
    })
  })

  t.test('shares a pending promise and keeps a fulfilled one', async (t) => {
    const { promise, open } = gate<string>()
    let calls = 0
    const make = async (): Promise<string> => { calls++; return promise }
    await ctx.run({}, async () => {
      const both = [ctx.cache.getOrSet('k', make), ctx.cache.getOrSet('k', make)]
      t.equal(both[0], both[1])
      open('done')
      t.same(await Promise.all(both), ['done', 'done'])
      t.equal(await ctx.cache.getOrSet('k', make), 'done')
      t.equal(calls, 1)
    })
  })

  t.test('passes a rejection to every waiter, and forgets it', async (t) => {
    let calls = 0
    const make = async (): Promise<number> => {
      if (++calls === 1) throw new Error('not now')
      return calls
    }
    await ctx.run({}, async () => {
      const both = [ctx.cache.getOrSet('k', make), ctx.cache.getOrSet('k', make)]
      t.same((await Promise.allSettled(both)).map(({ status }) => status), ['rejected', 'rejected'])
      t.equal(await ctx.cache.getOrSet('k', make), 2)
    })
  })

  t.test('keeps a value that was set before the rejection', async (t) => {
    const { promise, open } = gate()
    await ctx.run({}, async () => {
      const failing = ctx.cache.getOrSet('k', async () => { await promise; throw new Error('not now') })
      ctx.cache.set('k', 'newer')
      open()
      await t.rejects(failing, { message: 'not now' })
      t.equal(ctx.cache.get('k'), 'newer')
    })
  })

  t.test('an unhandled rejection is reported by Node, as without the cache', async (t) => {
    const told = unhandled(t)
    ctx.run({}, () => { ctx.cache.getOrSet('k', async () => { throw new Error('alone') }) })
    await turns()
    t.match(told, [{ message: 'alone' }])
  })
})

t.test('one DataLoader per scope takes three lines', async (t) => {
  const batches: Array<{ readonly tenant: string | undefined, readonly ids: readonly string[] }> = []
  async function findUsers (ids: readonly string[]): Promise<string[]> {
    batches.push({ tenant: ctx.get('tenant'), ids })
    return ids.map((id) => `${ctx.get('tenant')}/${id}`)
  }
  const users = (): DataLoader<string, string> => ctx.cache.getOrSet(findUsers, () => new DataLoader(findUsers))

  const app = Fastify()
  await app.register(ctx.plugin)
  const [entered, go] = [gate(), gate()]
  app.get('/:tenant', async (request) => {
    request.ctx.tenant = (request.params as { tenant: string }).tenant
    if (ctx.get('tenant') === 'b') entered.open()
    await go.promise
    return Promise.all([users().load('1'), users().load('2'), users().load('1')])
  })
  const { url } = await listen(t, app)
  const answers = [fetch(`${url}/a`), fetch(`${url}/b`)]
  await entered.promise
  go.open()
  const [a, b] = await Promise.all(answers.map(async (answer) => (await answer).json()))
  t.same(a, ['a/1', 'a/2', 'a/1'])
  t.same(b, ['b/1', 'b/2', 'b/1'])
  t.same(batches.sort((x, y) => x.tenant! < y.tenant! ? -1 : 1), [{ tenant: 'a', ids: ['1', '2'] }, { tenant: 'b', ids: ['1', '2'] }])
})

t.test('cache: after the end of the request it throws, and its contents are dropped', async (t) => {
  const app = Fastify()
  await app.register(ctx.plugin)
  const [late, ended] = [gate<() => unknown>(), gate()]
  app.get('/', async () => {
    ctx.cache.set('k', 1)
    ctx.onEnd(() => { ended.open() })
    late.open(ctx.bind(() => ctx.cache))
    return 'ok'
  })
  const { url } = await listen(t, app)
  await (await fetch(url)).text()
  await ended.promise
  await turns()
  const read = await late.promise
  t.throws(read, { code: 'FST_CTX_ENDED' })
})

t.test('cache: with cacheMax it forgets what was not used for the longest time', async (t) => {
  const bounded = createContext({ tenant: key<string>() }, { cacheMax: 3 })
  bounded.run({}, () => {
    const { cache } = bounded
    cache.set('a', 1).set('b', undefined).set('c', 3)
    t.equal(cache.get('a'), 1)
    t.equal(cache.getOrSet('b', () => 'made again'), undefined, 'undefined is a value')
    cache.set('d', 4).set('d', 5)
    t.same(['a', 'b', 'c', 'd'].map((name) => cache.has(name)), [true, true, false, true])
    t.same([cache.delete('a'), cache.delete('a'), cache.has('a')], [true, false, false])
    cache.clear()
    t.notOk(cache.has('b'))
  })
  for (const cacheMax of [0, -1, 1.5, '3', Infinity]) t.throws(() => createContext({}, { cacheMax: cacheMax as number }), { code: 'FST_CTX_INVALID_OPTION', message: /cacheMax/ }, String(cacheMax))
})
