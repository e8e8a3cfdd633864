import { EventEmitter } from 'node:events'
import Fastify from 'fastify'
import t from 'tap'
import { createContext, ctx as readyMade, key } from '../../../lib/index.ts'
import { gate, Lines, listen, turns, warnings } from '../../support/support.ts'

interface User { readonly id: string }

const ctx = createContext({ tenant: key<string>({ log: true }), user: key<User>(), count: key<number>() })

t.test('get, has and require outside any scope', async (t) => {
  t.equal(ctx.get('tenant'), undefined)
  t.equal(ctx.has('tenant'), false)
  t.throws(() => ctx.require('tenant'), { code: 'FST_CTX_NO_SCOPE', message: /'tenant'/ })
})

t.test('get, has and require inside a scope', async (t) => {
  ctx.run({ tenant: 'acme', count: 0 }, () => {
    t.equal(ctx.get('tenant'), 'acme')
    t.equal(ctx.require('tenant'), 'acme')
    t.equal(ctx.require('count'), 0)
    t.equal(ctx.has('count'), true)
    t.equal(ctx.get('user'), undefined)
    t.equal(ctx.has('user'), false)
    t.throws(() => ctx.require('user'), { code: 'FST_CTX_NOT_SET', message: /'user'/ })
    t.throws(() => ctx.require('tennant' as never), { code: 'FST_CTX_UNKNOWN_KEY', message: /'tennant'/ })
    for (const name of ['toString', 'constructor', '__proto__']) t.equal(ctx.get(name as never), undefined, name)
  })
})

t.test('set', async (t) => {
  t.test('writes the innermost scope until it ends', async (t) => {
    ctx.run({ tenant: 'outer' }, () => {
      ctx.set('user', { id: 'ada' })
      ctx.run({}, () => {
        ctx.set('tenant', 'inner')
        t.equal(ctx.get('tenant'), 'inner')
        ctx.set('user', undefined)
        t.equal(ctx.has('user'), false)
      })
      t.equal(ctx.get('tenant'), 'outer')
      t.same(ctx.get('user'), { id: 'ada' })
    })
  })

  t.test('throws outside a scope, for an unknown key and for the request id', async (t) => {
    t.throws(() => { ctx.set('tenant', 'x') }, { code: 'FST_CTX_NO_SCOPE' })
    t.throws(() => { ctx.set('tenat' as never, 'x' as never) }, { code: 'FST_CTX_UNKNOWN_KEY', message: /'tenat'/ })
    ctx.run({}, () => {
      t.throws(() => { ctx.set('tenat' as never, 'x' as never) }, { code: 'FST_CTX_UNKNOWN_KEY' })
      t.throws(() => { ctx.set('requestId' as never, 'x' as never) })
    })
    readyMade.run({}, () => {
      t.throws(() => { readyMade.set('requestId' as never, 'x' as never) })
      t.throws(() => { readyMade.set('__proto__' as never, {} as never) }, { code: 'FST_CTX_INVALID_KEY' })
    })
  })
})

t.test('run', async (t) => {
  t.test('returns what the function returns, and restores the scope after a throw or a rejection', async (t) => {
    await ctx.run({ tenant: 'outer' }, async () => {
      t.equal(ctx.run({ tenant: 'inner' }, () => 7), 7)
      t.equal(await ctx.run({ tenant: 'inner' }, async () => { await turns(1); return ctx.get('tenant') }), 'inner')
      t.throws(() => ctx.run({ tenant: 'inner' }, () => { throw new Error('within') }), { message: 'within' })
      t.equal(ctx.get('tenant'), 'outer')
      await t.rejects(ctx.run({ tenant: 'inner' }, async () => { await turns(1); throw new Error('later') }), { message: 'later' })
      t.equal(ctx.get('tenant'), 'outer')
    })
    t.equal(ctx.get('tenant'), undefined)
  })

  t.test('a child scope reads current values of its parent and keeps its own writes', async (t) => {
    await ctx.run({ tenant: 'outer' }, async () => {
      const { promise, open } = gate()
      const child = ctx.run({ count: 1 }, async () => {
        await promise
        return [ctx.get('tenant'), ctx.get('count'), ctx.get('user')]
      })
      ctx.set('user', { id: 'ada' })
      open()
      t.same(await child, ['outer', 1, { id: 'ada' }])
      t.equal(ctx.has('count'), false)
    })
  })

  t.test('undefined hides the outer value', async (t) => {
    ctx.run({ tenant: 'outer' }, () => { ctx.run({ tenant: undefined }, () => { t.equal(ctx.get('tenant'), undefined) }) })
  })

  t.test('parallel child scopes do not see each other, in any order of ending', async (t) => {
    for (const order of [['a', 'b'], ['b', 'a']] as const) {
      const gates = { a: gate(), b: gate() }
      const seen: Record<string, unknown> = {}
      await ctx.run({ tenant: 'outer' }, async () => {
        const branch = (name: 'a' | 'b'): Promise<void> => ctx.run({}, async () => {
          ctx.set('tenant', name)
          await gates[name].promise
          seen[name] = ctx.get('tenant')
        })
        const branches = { a: branch('a'), b: branch('b') }
        for (const name of order) {
          gates[name].open()
          await branches[name]
        }
        t.same(seen, { a: 'a', b: 'b' })
        t.equal(ctx.get('tenant'), 'outer')
      })
    }
  })

  t.test('a root has its own request id, or the one that run() is given', async (t) => {
    const made = ctx.run({}, () => ctx.require('requestId'))
    t.match(made, /^[\da-f-]{36}$/)
    t.not(ctx.run({}, () => ctx.require('requestId')), made)
    t.equal(ctx.run({ requestId: 'job-7' }, () => ctx.get('requestId')), 'job-7')
    for (const requestId of ['', 'a b', 'x\ny', 'é', 'x'.repeat(129), 7]) {
      t.throws(() => ctx.run({ requestId: requestId as string }, () => {}), { code: 'FST_CTX_INVALID_ARGUMENT' }, JSON.stringify(requestId))
    }
  })

  t.test('a child has the request id of its root and refuses another one', async (t) => {
    ctx.run({ requestId: 'job-7' }, () => {
      ctx.run({}, () => { t.equal(ctx.get('requestId'), 'job-7') })
      t.throws(() => ctx.run({ requestId: 'other' }, () => {}), { code: 'FST_CTX_REQUEST_ID_FIXED' })
    })
  })

  t.test('inherit: false opens a root that sees nothing of the scope around it', async (t) => {
    ctx.run({ tenant: 'outer', requestId: 'outer' }, () => {
      ctx.run({ count: 1 }, () => {
        t.equal(ctx.get('tenant'), undefined)
        t.equal(ctx.get('count'), 1)
        t.not(ctx.get('requestId'), 'outer')
      }, { inherit: false })
      t.equal(ctx.run({ requestId: 'inner' }, () => ctx.get('requestId'), { inherit: false }), 'inner')
      t.equal(ctx.run({}, () => ctx.get('tenant'), { inherit: true }), 'outer')
    })
  })

  t.test('refuses invalid values, functions and options', async (t) => {
    for (const values of [undefined, null, 'acme', () => {}]) t.throws(() => ctx.run(values as never, () => {}), { code: 'FST_CTX_INVALID_ARGUMENT' })
    for (const fn of [undefined, null, 'fn', Promise.resolve()]) t.throws(() => ctx.run({}, fn as never), { code: 'FST_CTX_INVALID_ARGUMENT' })
    t.throws(() => ctx.run({ tenat: 'x' } as never, () => {}), { code: 'FST_CTX_UNKNOWN_KEY', message: /'tenat'/ })
    t.throws(() => ctx.run(JSON.parse('{"__proto__":{"tenant":"evil"}}') as never, () => {}), { code: 'FST_CTX_UNKNOWN_KEY' })
    t.throws(() => readyMade.run(JSON.parse('{"__proto__":{"tenant":"evil"}}') as never, () => {}), { code: 'FST_CTX_INVALID_KEY' })
    t.throws(() => readyMade.run({ run: 'x' } as never, () => {}), { code: 'FST_CTX_INVALID_KEY' })
  })

  t.test('two nested contexts, in either order, each see their own values', async (t) => {
    const other = createContext({ tenant: key<string>(), count: key<number>() })
    ctx.run({ tenant: 'ctx' }, () => {
      other.run({ tenant: 'other' }, () => {
        t.same([ctx.get('tenant'), other.get('tenant')], ['ctx', 'other'])
        ctx.run({ tenant: 'ctx inner' }, () => {
          t.same([ctx.get('tenant'), other.get('tenant')], ['ctx inner', 'other'])
          other.run({ count: 1 }, () => { t.same([ctx.get('tenant'), other.get('tenant'), ctx.get('count')], ['ctx inner', 'other', undefined]) })
          other.run({}, () => { t.same([ctx.get('tenant'), other.get('tenant')], ['ctx inner', undefined]) }, { inherit: false })
        })
        ctx.run({}, () => { t.same([ctx.get('tenant'), other.get('tenant')], [undefined, 'other']) }, { inherit: false })
        ctx.set('tenant', 'set')
        t.same([ctx.get('tenant'), other.get('tenant')], ['set', 'other'])
      })
      t.same([ctx.get('tenant'), other.get('tenant')], ['set', undefined])
    })
  })
})

t.test('bind: the function always runs in the scope in which it was bound', async (t) => {
  const greet = ctx.run({ tenant: 'acme' }, () => ctx.bind(function (this: { name: string }, greeting: string) { return `${greeting} ${this.name} of ${ctx.get('tenant')}` }))
  t.equal(greet.call({ name: 'ada' }, 'hi'), 'hi ada of acme')
  t.equal(ctx.run({ tenant: 'other' }, () => greet.call({ name: 'ada' }, 'hi')), 'hi ada of acme')
  const outside = ctx.bind(() => ctx.get('tenant'))
  t.equal(ctx.run({ tenant: 'acme' }, outside), undefined)
  t.same([greet.length, ctx.bind(function named (_a: unknown, _b: unknown) {}).name, ctx.bind(() => {}).name], [1, 'named', ''], 'with its original name and length')
  t.throws(() => ctx.bind('fn' as never), { code: 'FST_CTX_INVALID_ARGUMENT' })
})

t.test('snapshot: runs any function in the scope in which it was taken', async (t) => {
  const inScope = ctx.run({ tenant: 'acme' }, () => ctx.snapshot())
  t.equal(inScope(() => ctx.get('tenant')), 'acme')
  t.equal(ctx.run({ tenant: 'other' }, () => inScope((a: number, b: number) => `${a + b} ${ctx.get('tenant')}`, 1, 2)), '3 acme')
  t.equal(ctx.run({ tenant: 'other' }, () => ctx.snapshot()(() => ctx.get('tenant'))), 'other')
  for (const none of [undefined, null, {}, 'fn']) t.throws(() => inScope(none as never), { code: 'FST_CTX_INVALID_ARGUMENT', message: /^ctx\.snapshot takes / })
})

t.test('bindEmitter: listeners run in the scope in which they were added; other values are refused', async (t) => {
  const emitter = ctx.bindEmitter(new EventEmitter())
  const seen: unknown[] = []
  for (const tenant of ['A', 'B']) ctx.run({ tenant }, () => { emitter.on('event', () => { seen.push(ctx.get('tenant')) }) })
  ctx.run({ tenant: 'C' }, () => { emitter.emit('event') })
  t.same(seen, ['A', 'B'])
  for (const other of [undefined, null, {}, new EventTarget(), { on () {} }]) t.throws(() => ctx.bindEmitter(other as never), { code: 'FST_CTX_INVALID_ARGUMENT', message: /takes an EventEmitter of Node; .* bind each listener with ctx\.bind\(listener\)$/ })
})

t.test('log', async (t) => {
  const own = createContext({ tenant: key<string>({ log: true }) })
  t.doesNotThrow(() => { own.log.info('nobody hears') })
  t.equal(own.log, own.log, 'there is one silent logger')
  const lines = new Lines(t)
  const app = Fastify({ logger: { stream: lines } })
  await app.register(own.plugin)
  app.get('/', async (request) => {
    own.run({ tenant: 'inner' }, () => { own.log.info('within') })
    return { same: own.log === request.log, within: own.run({}, () => own.log === request.log) }
  })
  const { url } = await listen(t, app)
  own.log.info('outside')
  own.run({ tenant: 'job' }, () => { own.log.info('job') })
  t.same(await (await fetch(url)).json(), { same: true, within: true })
  t.equal(lines.one('within').tenant, 'inner')
  t.equal(lines.one('job').tenant, 'job')
  t.notOk('tenant' in lines.one('outside'))
})

t.test('after the end of the request', async (t) => {
  const own = createContext({ tenant: key<string>({ seed: () => 'acme' }), user: key<string>() })
  const lines = new Lines(t)
  const app = Fastify({ logger: { stream: lines } })
  await app.register(own.plugin)
  const late: Array<<R>(fn: () => R) => R> = []
  const access: Array<{ readonly tenant: string | undefined }> = []
  app.setNotFoundHandler(async () => {
    nowhere.push(own.snapshot())
    return 'none'
  })
  const nowhere: typeof late = []
  app.get('/late/:id', async (request) => {
    late.push(own.snapshot())
    access.push(request.ctx as never)
    return own.get('tenant')
  })
  const { url } = await listen(t, app)
  for (const id of [1, 2]) t.equal(await (await fetch(`${url}/late/${id}`)).text(), 'acme')
  t.equal(await (await fetch(`${url}/nowhere`)).text(), 'none')
  await lines.until('request completed', 3)
  await turns()
  const told = warnings(t, 'FST_CTX_LATE_READ')
  for (const inScope of late) {
    inScope(() => {
      t.equal(own.get('tenant'), undefined)
      t.equal(own.get('user'), undefined)
      t.equal(own.has('tenant'), false)
      t.throws(() => own.require('tenant'), { code: 'FST_CTX_ENDED', message: /'tenant'/ })
      t.throws(() => own.require('requestId'), { code: 'FST_CTX_ENDED' })
      t.throws(() => { own.set('tenant', 'x') }, { code: 'FST_CTX_ENDED' })
      own.run({ user: 'eve' }, () => {
        t.equal(own.get('user'), 'eve')
        t.equal(own.get('tenant'), undefined)
        t.throws(() => own.require('tenant'), { code: 'FST_CTX_NOT_SET' }, 'it is a root with its own id')
      })
    })
  }
  for (const each of access) t.equal(each.tenant, undefined)
  nowhere[0]!(() => { t.equal(own.get('tenant'), undefined) })
  await turns()
  t.same(told.map(({ message }) => message.replace(/ at .*?(?= after the scope)/, '').replace(/ ended.*/, ' ended')), [
    "'tenant' was read after the scope of /late/:id had ended",
    "'user' was read after the scope of /late/:id had ended",
    "'tenant' was read after the scope had ended"
  ], 'one warning for each key and route')
})
