// An enumerable property on Object.prototype, left by careless libraries or attackers, reaches no output of the process.
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { request } from 'undici'
import { createContext, key, type CreateOptions } from '../../lib/index.ts'
import { listen } from '../support/support.ts'

const prototype = Object.prototype as Record<string, unknown>

/** Adds properties to Object.prototype for the duration of the test. */
function pollute (t: Test, properties: Readonly<Record<string, unknown>>): void {
  Object.assign(prototype, properties)
  t.teardown(() => { for (const name of Object.keys(properties)) delete prototype[name] })
}

const SECRET = 'a secret of thirty-two characters'

t.test('policies and options ignore properties of Object.prototype', async (t) => {
  pollute(t, { log: true, carry: true, locked: true, header: 'x-token', seed: () => 'of nobody', detach: false, missing: 599, secrets: [SECRET], ttl: 1, maxBytes: 256, generate: () => 'polluted', responseHeader: false, for: 'another job' })
  const ctx = createContext({ token: key<string>(), user: key<string>({ carry: true }) })
  t.match(ctx.policy().find(({ key }) => key === 'token'), { seeded: false, logged: 'no', locked: false, detached: true, carried: 'no', header: undefined })
  await ctx.run({ token: 'hush', user: 'ada' }, async () => {
    ctx.set('token', 'hush, hush')
    const text = ctx.dehydrate()
    t.same(JSON.parse(text).values, { user: 'ada' })
    t.same(await ctx.hydrate(text, () => [ctx.get('token'), ctx.get('user')]), [undefined, 'ada'])
  })
  const app = Fastify()
  await app.register(ctx.plugin, { requestId: {} })
  app.get('/', async () => ({ id: ctx.get('requestId'), token: ctx.get('token') ?? null }))
  const { url } = await listen(t, app)
  const answer = await fetch(url)
  const id = answer.headers.get('x-request-id')
  t.same(await answer.json(), { id, token: null })
  t.match(id, /^[\da-f-]{36}$/)
})

t.test('calls ignore properties of Object.prototype: no limit, root, reason or memo key that nobody passed', async (t) => {
  const ctx = createContext({ tenant: key<string>() })
  pollute(t, { inherit: false, timeout: 0, deadline: 1, reason: 'none', keyOf: () => 'one for all', tenant: 'mallory', requestId: 'polluted' })
  await ctx.run({}, async () => {
    t.equal(ctx.get('tenant'), undefined)
    t.not(ctx.get('requestId'), 'polluted')
    t.equal(ctx.deadline, undefined)
    const id = ctx.get('requestId')
    ctx.run({ tenant: 'acme' }, () => {
      t.equal(ctx.get('requestId'), id)
      t.equal(ctx.deadline, undefined)
    }, {})
    t.throws(() => ctx.impersonate({ tenant: 'globex' }, {} as never, () => {}), { code: 'FST_CTX_INVALID_ARGUMENT' })
    const double = ctx.memo((n: number) => 2 * n)
    const triple = ctx.memo((n: number) => 3 * n, {})
    t.same([double(1), double(2), triple(1), triple(2)], [2, 4, 3, 6])
    const inScope = ctx.bind(() => ctx.get('tenant'))
    t.equal(inScope(), undefined)
  })
})

t.test('envelopes are created and read without properties of Object.prototype', async (t) => {
  const options: CreateOptions = { envelope: { secrets: [SECRET] } }
  const ctx = createContext({ tenant: key<string>({ carry: true }), user: key<string>({ carry: true }) }, options)
  const unsigned = createContext({ user: key<string>({ carry: true }) })
  const [text, acting] = ctx.run({ tenant: 'acme' }, () => [ctx.dehydrate(), ctx.impersonate({ user: 'lin' }, { reason: 'ticket' }, () => ctx.dehydrate())])
  pollute(t, { polluted: true, user: 'mallory', actor: { reason: 'none', values: { user: 'mallory' }, unset: [] }, traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', remaining: 1, issued: 0, v: 1, requestId: 'polluted', values: { user: 'mallory' } })
  t.equal(ctx.run({ tenant: 'acme' }, () => ctx.dehydrate()).includes('mallory'), false)
  await ctx.hydrate(text!, async () => {
    t.equal(ctx.get('tenant'), 'acme')
    t.equal(ctx.get('user'), undefined)
    t.equal(ctx.actor('user'), undefined)
    t.equal(ctx.trace, undefined)
    t.equal(ctx.deadline, undefined)
    t.not(ctx.get('requestId'), 'polluted')
  })
  t.same(await ctx.hydrate(acting!, () => [ctx.get('user'), ctx.actor('user')]), ['lin', undefined])
  for (const missing of ['{}', '{"v":1}', '{"v":1,"requestId":"id-1"}', '{"v":1,"requestId":"id-1","values":{},"actor":{"reason":"x"}}']) {
    t.equal(await unsigned.hydrate(missing, () => unsigned.get('user')), undefined, missing)
    t.equal(await unsigned.hydrate(missing, () => unsigned.get('requestId') === 'polluted'), false, missing)
  }
})

t.test('an outgoing call has no header from Object.prototype', async (t) => {
  const target = http.createServer((request, response) => { response.end(JSON.stringify(request.headers)) })
  target.listen(0, '127.0.0.1')
  await once(target, 'listening')
  t.teardown(() => { target.close() })
  const origin = `http://127.0.0.1:${(target.address() as AddressInfo).port}`
  const ctx = createContext({ tenant: key<string>({ header: 'x-tenant-id' }) }, { propagate: { [origin]: ['tenant'] } })
  const app = Fastify()
  await app.register(ctx.plugin)
  app.get('/', async () => {
    ctx.set('tenant', 'acme')
    pollute(t, { polluted: 'yes' })
    t.same(Object.keys(ctx.headersFor(origin)), ['tenant'].map(() => 'x-tenant-id'))
    return [await (await fetch(origin)).json(), await (await request(origin)).body.json()]
  })
  const { url } = await listen(t, app)
  const calls = await (await fetch(url)).json() as Array<Record<string, string>>
  for (const headers of calls) {
    t.equal(headers['x-tenant-id'], 'acme')
    t.notOk(Object.keys(headers).includes('polluted'))
  }
})
