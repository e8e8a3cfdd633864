import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import t from 'tap'
import { createContext, key } from '../../../lib/index.ts'
import { gate, Lines, listen } from '../../support/support.ts'

const newContext = () => createContext({
  tenant: key<string>({ seed: (request) => request.headers['x-tenant'], log: true }),
  user: key<{ readonly id: string, readonly email: string }>({ log: true }),
  plan: key<Map<string, number>>({ log: (plan) => plan.size }),
  token: key<string>({ seed: () => 'secret-token' })
})

const ada = { id: 'ada', email: 'ada@acme.example' }

t.test('fields returns the fields of a log line, as the application\'s logger writes them', async (t) => {
  const ctx = newContext()
  const lines = new Lines(t)
  const app = Fastify({ requestIdLogLabel: 'id', logger: { stream: lines, base: null, timestamp: false, redact: ['user.email'], serializers: { plan: (size: number) => `${size} items` } } })
  await app.register(ctx.plugin)
  app.get('/', async (request) => {
    ctx.set('user', ada)
    ctx.set('plan', new Map([['a', 1]]))
    await sleep(20)
    request.log.info('here')
    return [ctx.fields(), request.ctx.fields(), ctx.impersonate({ tenant: 'globex' }, { reason: 'ticket 7' }, () => ctx.fields())]
  })
  const { url } = await listen(t, app)
  const [fields, ofRequest, impersonated] = await (await fetch(url, { headers: { 'x-tenant': 'acme', 'x-request-id': 'r-1' } })).json() as object[]
  const expected = { id: 'r-1', tenant: 'acme', user: { id: 'ada', email: '[Redacted]' }, plan: '1 items' }
  t.same(fields, expected)
  t.same(ofRequest, expected)
  t.same(impersonated, { ...expected, tenant: 'globex', actor: { tenant: 'acme' }, reason: 'ticket 7' })
  const { level: _level, msg: _msg, ...written } = lines.one('here')
  t.same(written, expected)
})

t.test('fields includes those of enclosing scopes of other contexts, and the caller may change the object', async (t) => {
  const [outer, inner] = [newContext(), createContext({ shard: key<number>({ log: true }) })]
  outer.run({ requestId: 'o-1', tenant: 'acme', user: ada }, () => {
    inner.run({ requestId: 'i-1', shard: 7 }, () => {
      t.same(inner.fields(), { reqId: 'i-1', tenant: 'acme', user: ada, shard: 7 })
      t.same(outer.fields(), { reqId: 'o-1', tenant: 'acme', user: ada })
    })
    const fields = outer.fields()
    fields.tenant = 'globex'
    ;(fields.user as { id: string }).id = 'eve'
    t.same([outer.fields().tenant, outer.require('user').id], ['acme', 'ada'])
  })
  t.same(outer.fields(), {})
})

t.test('after the end fields returns the last fields', async (t) => {
  const ctx = newContext()
  const app = Fastify({ logger: { stream: new Lines(t) } })
  await app.register(ctx.plugin)
  const [over, late] = [gate(), gate<object>()]
  app.get('/', async () => {
    ctx.set('user', ada)
    over.promise.then(() => { late.open(ctx.fields()) })
    return 'ok'
  })
  const { url } = await listen(t, app)
  await (await fetch(url, { headers: { 'x-tenant': 'acme', 'x-request-id': 'r-1' } })).text()
  await sleep(50)
  over.open()
  t.match(await late.promise, { reqId: 'r-1', tenant: 'acme', user: ada })
})
