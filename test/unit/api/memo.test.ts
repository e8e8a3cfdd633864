import { requestContext } from '@fastify/request-context'
import Fastify from 'fastify'
import t from 'tap'
import context, { createContext, ctx as readyMade, key } from '../../../lib/index.ts'
import { gate, Lines, listen, turns, unhandled } from '../../support/support.ts'

interface User { readonly id: string }

const ada = { id: 'ada' }
const lin = { id: 'lin' }
const kim = { id: 'kim' }

const ctx = createContext({
  tenant: key<string>({ log: true, locked: true }),
  user: key<User>({ log: ({ id }) => id }),
  token: key<string>()
})

/** The ids of the impersonated and of the real user. */
function who (): [string | undefined, string | undefined] {
  return [ctx.get('user')?.id, ctx.actor('user')?.id]
}

t.test('impersonate', async (t) => {
  t.test('shadows the given values and keeps the actor, also in nested impersonations and scopes', async (t) => {
    ctx.run({ user: ada }, () => {
      t.same(who(), ['ada', 'ada'])
      const result = ctx.impersonate({ user: lin }, { reason: 'ticket 1' }, () => {
        t.same(who(), ['lin', 'ada'])
        ctx.impersonate({ user: kim, token: 'x' }, { reason: 'ticket 2' }, () => {
          t.same(who(), ['kim', 'ada'])
          t.same([ctx.get('token'), ctx.actor('token')], ['x', undefined])
          ctx.run({ user: lin }, () => { t.same(who(), ['lin', 'ada']) })
          ctx.run({ user: lin }, () => { t.same(who(), ['lin', 'lin']) }, { inherit: false })
        })
        t.same(who(), ['lin', 'ada'])
        return 'done'
      })
      t.equal(result, 'done')
      t.same(who(), ['ada', 'ada'])
    })
    t.equal(ctx.actor('user'), undefined)
  })

  t.test('the actor of a key is the value that a nested run() set; other keys keep theirs', async (t) => {
    ctx.run({ user: ada, token: 'of ada' }, () => {
      ctx.run({ user: lin }, () => {
        ctx.impersonate({ user: kim }, { reason: 'ticket' }, () => {
          t.same(who(), ['kim', 'lin'])
          t.equal(ctx.actor('token'), 'of ada')
        })
      })
    })
  })

  t.test('restores everything afterwards, regardless of how the function ends', async (t) => {
    await ctx.run({ user: ada }, async () => {
      const isRestored = (): void => { t.same(who(), ['ada', 'ada']) }
      t.throws(() => ctx.impersonate({ user: lin }, { reason: 'r' }, () => { throw new Error('within') }), { message: 'within' })
      isRestored()
      await t.rejects(ctx.impersonate({ user: lin }, { reason: 'r' }, async () => { await turns(1); throw new Error('later') }), { message: 'later' })
      isRestored()
      ctx.impersonate({ user: lin }, { reason: 'r' }, () => { ctx.set('user', kim); ctx.set('token', 'x') })
      isRestored()
      t.equal(ctx.get('token'), undefined)
      const pending = ctx.impersonate({ user: lin }, { reason: 'r' }, async () => { await turns(1); return who() })
      isRestored()
      t.same(await pending, ['lin', 'ada'])
      isRestored()
    })
  })

  for (const order of [[0, 1], [1, 0]] as const) {
    t.test(`two concurrent impersonations, ended in the order ${order.join(', ')}, do not see each other`, async (t) => {
      const gates = [gate(), gate()]
      await ctx.run({ user: ada }, async () => {
        const branches = [lin, kim].map((user, i) => ctx.impersonate({ user }, { reason: 'r' }, async () => {
          await gates[i]!.promise
          return who()
        }))
        for (const i of order) {
          gates[i]!.open()
          t.same(await branches[i], [[lin, kim][i]!.id, 'ada'])
          t.same(who(), ['ada', 'ada'])
        }
      })
    })
  }

  t.test('is the only way to shadow a locked key, which stays locked inside', async (t) => {
    ctx.run({ tenant: 'acme' }, () => {
      ctx.impersonate({ tenant: 'globex' }, { reason: 'support' }, () => {
        t.same([ctx.get('tenant'), ctx.actor('tenant')], ['globex', 'acme'])
        t.throws(() => { ctx.set('tenant', 'third') }, { code: 'FST_CTX_LOCKED' })
        t.throws(() => ctx.run({ tenant: 'third' }, () => {}), { code: 'FST_CTX_LOCKED' })
        t.throws(() => { requestContext.set('tenant' as never, 'third' as never) }, TypeError)
        ctx.impersonate({ tenant: 'third' }, { reason: 'again' }, () => { t.same([ctx.get('tenant'), ctx.actor('tenant')], ['third', 'acme']) })
        t.equal(ctx.get('tenant'), 'globex')
      })
      t.equal(ctx.get('tenant'), 'acme')
    })
  })

  t.test('log lines inside have the impersonated user, the actor and the reason; those before and after do not', async (t) => {
    const lines = new Lines(t)
    const app = Fastify({ logger: { stream: lines } })
    await app.register(ctx.plugin)
    app.get('/', async (request) => {
      request.ctx.user = ada
      ctx.set('tenant', 'acme')
      request.log.info('before')
      await ctx.impersonate({ user: lin, token: 'secret' }, { reason: 'ticket 1' }, async () => {
        ctx.log.info('outer')
        ctx.impersonate({ tenant: 'globex' }, { reason: 'ticket 2' }, () => { app.log.info('inner') })
        await ctx.run({ token: 'x' }, async () => { await turns(1); request.log.info('run within') })
      })
      ctx.impersonate({ token: 'secret' }, { reason: 'ticket 3' }, () => { ctx.log.info('not logged') })
      ctx.log.info('after')
      return 'ok'
    })
    const { url } = await listen(t, app)
    await (await fetch(url, { headers: { 'x-request-id': 'id-1' } })).text()
    await lines.until('request completed')
    const fields = (message: string): unknown[] => {
      const { reqId, tenant, user, actor, reason } = lines.one(message)
      return [reqId, tenant, user, actor, reason]
    }
    t.same(fields('before'), ['id-1', 'acme', 'ada', undefined, undefined])
    t.same(fields('outer'), ['id-1', 'acme', 'lin', { user: 'ada' }, 'ticket 1'])
    t.same(fields('inner'), ['id-1', 'globex', 'lin', { tenant: 'acme', user: 'ada' }, 'ticket 2'])
    t.same(fields('run within'), ['id-1', 'acme', 'lin', { user: 'ada' }, 'ticket 1'])
    t.same(fields('not logged'), ['id-1', 'acme', 'ada', undefined, 'ticket 3'])
    t.same(fields('after'), ['id-1', 'acme', 'ada', undefined, undefined])
    t.same(fields('request completed'), ['id-1', 'acme', 'ada', undefined, undefined])
    t.notMatch(lines.raw.join(''), 'secret')
  })

  t.test('invalid calls throw and do not call the function', async (t) => {
    const fn = (): void => { t.fail('called') }
    t.throws(() => ctx.impersonate({ user: lin }, { reason: 'r' }, fn), { code: 'FST_CTX_NO_SCOPE' })
    ctx.run({}, () => {
      for (const options of [undefined, null, {}, { reason: '' }, { reason: 7 }]) t.throws(() => ctx.impersonate({ user: lin }, options as never, fn), { code: 'FST_CTX_INVALID_ARGUMENT', message: /reason/ })
      t.throws(() => ctx.impersonate(undefined as never, { reason: 'r' }, fn), { code: 'FST_CTX_INVALID_ARGUMENT', message: /ctx\.impersonate/ })
      t.throws(() => ctx.impersonate({}, { reason: 'r' }, undefined as never), { code: 'FST_CTX_INVALID_ARGUMENT', message: 'ctx.impersonate takes a function to call third, after the reason' })
      t.throws(() => ctx.impersonate({ usr: lin } as never, { reason: 'r' }, fn), { code: 'FST_CTX_UNKNOWN_KEY' })
      t.throws(() => ctx.impersonate({ requestId: 'other' } as never, { reason: 'r' }, fn), { code: 'FST_CTX_REQUEST_ID_FIXED' })
    })
  })
})

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

t.test('onEnd, detach and after refuse anything but a function', async (t) => {
  ctx.run({}, () => {
    for (const fn of [undefined, null, 'fn', Promise.resolve()]) {
      t.throws(() => { ctx.onEnd(fn as never) }, { code: 'FST_CTX_INVALID_ARGUMENT', message: /ctx\.onEnd/ })
      t.throws(() => { ctx.detach(fn as never) }, { code: 'FST_CTX_INVALID_ARGUMENT', message: /ctx\.detach/ })
      t.throws(() => { ctx.after(fn as never) }, { code: 'FST_CTX_INVALID_ARGUMENT', message: /ctx\.after/ })
    }
  })
})

t.test('without a scope onEnd throws, detach and after start the work, the signal is never aborted, and there is no deadline', async (t) => {
  t.throws(() => { ctx.onEnd(() => {}) }, { code: 'FST_CTX_NO_SCOPE' })
  const seen: unknown[] = []
  ctx.detach(() => { seen.push(['detach', ctx.get('user')]) })
  ctx.after(() => { seen.push(['after', ctx.get('user')]) })
  t.same(seen, [['detach', undefined], ['after', undefined]])
  t.notOk(ctx.signal.aborted)
  t.equal(ctx.deadline, undefined)
})

t.test('detached work in a scope of another context keeps that scope', async (t) => {
  const other = createContext({ region: key<string>() })
  const { promise, open } = gate<unknown>()
  other.run({ region: 'eu' }, () => { ctx.detach(() => { open([other.get('region'), ctx.get('user')]) }) })
  t.same(await promise, ['eu', undefined])
})

t.test('the calls that need a scope throw after its end, also through request.ctx', async (t) => {
  const app = Fastify()
  await app.register(context, { keys: { user: {} } })
  const [late, ended] = [gate<unknown[]>(), gate()]
  app.get('/', async (request) => {
    const { ctx } = request
    ctx.onEnd(() => { ended.open() })
    await turns(1)
    late.open([() => ctx.cache, () => { ctx.onEnd(() => {}) }, () => ctx.impersonate({}, { reason: 'r' }, () => {})])
    return [typeof ctx.cache.getOrSet, ctx.actor('user') ?? null, ctx.memo(() => 7)(), ctx.signal.aborted, ctx.explain('user').state, ctx.policy().length]
  })
  const { url } = await listen(t, app)
  t.same(await (await fetch(url)).json(), ['function', null, 7, false, 'unset', 1])
  await ended.promise
  await turns()
  for (const call of await late.promise) t.throws(call as () => unknown, { code: 'FST_CTX_ENDED' })
})
