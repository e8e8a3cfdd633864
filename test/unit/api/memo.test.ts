import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { requestContext } from '@fastify/request-context'
import Fastify from 'fastify'
import t from 'tap'
import { createContext, ctx as readyMade, key } from '../../../lib/index.ts'
import { gate, listen, turns, unhandled } from '../../support/support.ts'

interface User { readonly id: string }

const ada = { id: 'ada' }
const lin = { id: 'lin' }
const kim = { id: 'kim' }

const ctx = createContext({ user: key<User>(), token: key<string>() })

t.test('memo', async (t) => {
  t.test('equal arguments cause one call per scope: primitives by value, objects by identity, and by their number', async (t) => {
    let calls = 0
    const add = ctx.memo((...args: unknown[]) => `${args.length} ${++calls}`)
    const object = {}
    ctx.run({}, () => {
      for (const args of [[], [1], ['1'], [1, undefined], [undefined], [null], [NaN], [object], [{}], [[1]]]) {
        const before = calls
        t.equal(add(...args), add(...args))
        t.equal(calls, before + 1)
      }
    })
  })

  t.test('undefined, null and false are values', async (t) => {
    for (const value of [undefined, null, false, 0]) {
      let calls = 0
      const make = ctx.memo(() => { calls++; return value })
      const later = ctx.memo(async () => { calls++; return value })
      await ctx.run({}, async () => {
        t.same([make(), make(), await later(), await later()], [value, value, value, value])
        t.equal(calls, 2)
      })
    }
  })

  t.test('concurrent calls share one promise', async (t) => {
    const { promise, open } = gate()
    let calls = 0
    const load = ctx.memo(async (id: string) => { calls++; await promise; return id })
    await ctx.run({}, async () => {
      const all = [load('a'), load('b'), load('a')]
      open()
      t.same(await Promise.all(all), ['a', 'b', 'a'])
      t.equal(await load('a'), 'a')
      t.equal(calls, 2)
    })
  })

  t.test('rejections and throws are not cached, every waiter gets the rejection, and a handled one is not reported as unhandled', async (t) => {
    const told = unhandled(t)
    let calls = 0
    const load = ctx.memo(async () => { if (++calls === 1) throw new Error('not now'); return calls })
    const sync = ctx.memo(() => { if (++calls === 3) throw new Error('not now'); return calls })
    await ctx.run({}, async () => {
      t.same((await Promise.allSettled([load(), load()])).map(({ status }) => status), ['rejected', 'rejected'])
      t.equal(await load(), 2)
      t.throws(sync, { message: 'not now' })
      t.equal(sync(), 4)
      t.equal(sync(), 4)
    })
    await turns()
    t.same(told, [])
  })

  t.test('keyOf decides which calls are equal; two memos of one function share no results', async (t) => {
    let calls = 0
    const find = (query: { readonly id: string }, unimportant: number): string => `${query.id} ${unimportant} ${++calls}`
    const byId = ctx.memo(find, { keyOf: ({ id }) => id })
    const byNumber = ctx.memo(find, { keyOf: (_query, number) => number })
    ctx.run({}, () => {
      t.equal(byId({ id: 'a' }, 1), 'a 1 1')
      t.equal(byId({ id: 'a' }, 2), 'a 1 1')
      t.equal(byId({ id: 'b' }, 1), 'b 1 2')
      t.equal(byNumber({ id: 'c' }, 1), 'c 1 3')
      t.equal(byNumber({ id: 'd' }, 1), 'c 1 3')
    })
  })

  t.test('with max it forgets the result that was not used for the longest time', async (t) => {
    let calls = 0
    const add = ctx.memo((...numbers: number[]) => `${numbers.join('+')} ${++calls}`, { max: 3 })
    const other = ctx.memo((number: number) => `other ${number} ${++calls}`, { max: 1 })
    ctx.run({}, () => {
      t.same([add(1), add(1, 2), add(1, 2, 3)], ['1 1', '1+2 2', '1+2+3 3'])
      t.equal(other(1), 'other 1 4')
      t.equal(add(1), '1 1', 'used again')
      t.equal(add(4), '4 5', 'takes the place of 1+2')
      t.same([add(1), add(1, 2, 3), add(4)], ['1 1', '1+2+3 3', '4 5'])
      t.equal(add(1, 2), '1+2 6', 'takes the place of 1')
      t.same([add(1, 2, 3), add(4), add(1, 2)], ['1+2+3 3', '4 5', '1+2 6'])
      t.equal(add(1), '1 7')
      t.equal(other(1), 'other 1 4', 'each function has its own limit')
      t.equal(ctx.run({}, () => add(1)), '1 8', 'and each scope')
    })
    const again = ctx.memo((number: number): number => number === 0 ? 0 : again(number - 1) + 1, { max: 1 })
    t.equal(ctx.run({}, () => again(50)), 50, 'it may call itself')
    for (const max of [0, -1, 1.5, '3', NaN]) t.throws(() => ctx.memo(() => 1, { max: max as number }), { code: 'FST_CTX_INVALID_ARGUMENT', message: /max/ }, String(max))
  })

  t.test('with max, a scope that lives for days stays small', async (t) => {
    setFlagsFromString('--expose-gc')
    const gc = runInNewContext('gc') as () => void
    const used = async (): Promise<number> => {
      await turns()
      gc()
      return process.memoryUsage().heapUsed
    }
    const square = ctx.memo(async (number: number, unit: object) => [number * number, unit], { max: 100 })
    const bounded = createContext({ user: key<User>() }, { cacheMax: 100 })
    await ctx.run({}, async () => bounded.run({}, async () => {
      const call = async (from: number): Promise<void> => {
        for (let i = from; i < from + 20_000; i++) bounded.cache.set(await square(i, {}), i)
      }
      await call(0)
      const before = await used()
      await call(20_000)
      const grown = await used() - before
      t.ok(grown < 2_000_000, `it grew by ${grown} bytes with 20,000 arguments, which would take 20 MB`)
    }))
  })

  t.test('`this` is passed on, and two objects with one memoized method have separate results', async (t) => {
    class Table {
      readonly name: string
      constructor (name: string) { this.name = name }
    }
    const find = ctx.memo(function (this: Table, id: number) { return { row: `${this.name} ${id}` } })
    const [users, notes] = [new Table('users'), new Table('notes')]
    ctx.run({}, () => {
      t.equal(find.call(users, 1).row, 'users 1')
      t.equal(find.call(notes, 1).row, 'notes 1')
      t.equal(find.call(users, 1), find.call(users, 1))
    })
  })

  t.test('outside a scope, after its end, and in the next scope the function is called again', async (t) => {
    let calls = 0
    const count = ctx.memo(function (this: unknown, ..._args: unknown[]) { return ++calls })
    t.same([count(), count()], [1, 2])
    ctx.run({}, () => { t.same([count(), count()], [3, 3]) })
    ctx.run({}, () => { t.same([count(), count()], [4, 4]) })

    const app = Fastify()
    await app.register(ctx.plugin)
    const [late, ended] = [gate<() => number>(), gate()]
    app.get('/', async () => {
      ctx.onEnd(() => { ended.open() })
      late.open(ctx.bind(() => count()))
      return [count(), count()]
    })
    const { url } = await listen(t, app)
    t.same(await (await fetch(url)).json(), [5, 5])
    await ended.promise
    await turns()
    const call = await late.promise
    t.same([call(), call()], [6, 7])
  })

  t.test('concurrent requests have separate results', async (t) => {
    const app = Fastify()
    await app.register(ctx.plugin)
    let calls = 0
    const whose = ctx.memo(async (_id: number) => { calls++; await turns(1); return ctx.get('user')?.id })
    const [both, go] = [gate(), gate()]
    let entered = 0
    app.get('/:user', async (request) => {
      ctx.set('user', { id: (request.params as { user: string }).user })
      if (++entered === 2) both.open()
      await go.promise
      return Promise.all([whose(1), whose(1)])
    })
    const { url } = await listen(t, app)
    const answers = [fetch(`${url}/ada`), fetch(`${url}/lin`)]
    await both.promise
    go.open()
    t.same(await Promise.all(answers.map(async (answer) => (await answer).json())), [['ada', 'ada'], ['lin', 'lin']])
    t.equal(calls, 2)
  })

  t.test('never returns the result of another user from an entry in flight', async (t) => {
    /** Reads the user as late as possible. */
    function rows (): { readonly load: (table: string) => Promise<string>, readonly open: () => void } {
      const { promise, open } = gate()
      return { load: ctx.memo(async (table: string) => { await promise; return `${table} of ${ctx.get('user')?.id}` }), open }
    }

    t.test('while a child scope shadows the key, in both directions', async (t) => {
      const { load, open } = rows()
      await ctx.run({ user: ada }, async () => {
        const first = load('notes')
        const inner = ctx.run({ user: lin }, () => load('notes'))
        const other = ctx.run({ user: kim }, async () => load('notes'))
        const impersonated = ctx.impersonate({ user: kim }, { reason: 'r' }, () => load('notes'))
        const last = load('notes')
        open()
        t.same(await Promise.all([first, inner, other, impersonated, last]), ['notes of ada', 'notes of lin', 'notes of kim', 'notes of kim', 'notes of ada'])
      })
    })

    for (const [how, set] of Object.entries({
      'ctx.set': (user: User) => { ctx.set('user', user) },
      'requestContext.set': (user: User) => { requestContext.set('user' as never, user as never) }
    })) {
      t.test(`with ${how} between the calls, in the scope itself and around it`, async (t) => {
        const { load, open } = rows()
        await ctx.run({ user: ada }, async () => {
          const first = load('notes')
          const child = ctx.run({}, async () => {
            const before = load('notes')
            set(kim)
            return [before, load('notes')] as const
          })
          set(lin)
          const second = load('notes')
          t.not(first, second)
          const [before, after] = await child
          t.not(before, after)
          open()
          t.equal(await second, 'notes of lin')
          t.equal(await after, 'notes of kim')
          t.equal(await load('notes'), 'notes of lin')
        })
      })
    }

    t.test('with a value set and set back between the calls', async (t) => {
      const { load } = rows()
      ctx.run({ user: ada }, () => {
        const first = load('notes')
        ctx.set('user', lin)
        ctx.set('user', ada)
        t.not(load('notes'), first)
      })
    })

    t.test('with an undeclared key of the ready-made context', async (t) => {
      const load = readyMade.memo(() => ({ basket: readyMade.get('basket') }))
      readyMade.run({}, () => {
        t.equal(load().basket, undefined)
        requestContext.set('basket', ['pear'])
        t.same(load().basket, ['pear'])
        t.equal(load(), load())
      })
    })

    t.test('with a value read from a scope of another context', async (t) => {
      const other = createContext({ region: key<string>() })
      const load = ctx.memo(() => `${ctx.get('user')?.id} in ${other.get('region')}`)
      ctx.run({ user: ada }, () => {
        t.equal(load(), 'ada in undefined')
        other.run({ region: 'eu' }, () => {
          t.equal(load(), 'ada in eu')
          other.run({ region: 'us' }, () => { t.equal(load(), 'ada in us') })
          ctx.run({}, () => { other.set('region', 'asia') })
          t.equal(load(), 'ada in asia')
        })
        t.equal(load(), 'ada in undefined')
      })
    })
  })

  t.test('a write in a child scope invalidates nothing in the scopes around it', async (t) => {
    let calls = 0
    const count = ctx.memo(() => ++calls)
    ctx.run({ user: ada }, () => {
      t.equal(count(), 1)
      ctx.run({ user: lin }, () => { ctx.set('token', 'x'); t.equal(count(), 2) })
      t.equal(count(), 1)
    })
  })

  t.test('refuses anything but a function', async (t) => {
    for (const fn of [undefined, null, 'fn', {}]) t.throws(() => ctx.memo(fn as never), { code: 'FST_CTX_INVALID_ARGUMENT' })
  })
})
