import Fastify from 'fastify'
import t from 'tap'
import { createContext, ctx as readyMade, key } from '../../../lib/index.ts'
import { Lines, listen, turns, warnings } from '../../support/support.ts'

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

t.test('entries returns the keys that have a value', async (t) => {
  t.same(ctx.entries(), [])
  ctx.run({ requestId: 'r-1', tenant: 'acme', count: 0 }, () => {
    const expected = [['requestId', 'r-1'], ['tenant', 'acme'], ['count', 0]]
    t.same(ctx.entries(), expected)
    ctx.run({ tenant: undefined, user: { id: 'ada' } }, () => {
      t.same(ctx.entries().sort(), [['count', 0], ['requestId', 'r-1'], ['user', { id: 'ada' }]], 'a hidden value is not among them')
    })
    t.same(ctx.entries(), expected)
    ctx.run(Object.fromEntries(ctx.entries()), () => { t.same(ctx.entries(), expected, 'a root with the same values') }, { inherit: false })
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
