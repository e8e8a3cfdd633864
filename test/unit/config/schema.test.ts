import Fastify from 'fastify'
import t from 'tap'
import * as v from 'valibot'
import { z } from 'zod'
import { check, checkedSeed, checkNow, everyOf, isSchema } from '../../../lib/config/schema.ts'
import context, { createContext, ctx as ready, key } from '../../../lib/index.ts'
import { Lines, listen } from '../../support/support.ts'

const SECRET = 'a secret of the client'
const slowly = z.string().refine(async (text) => text !== SECRET)
const code = (expected: string) => ({ code: expected })

t.test('zod and valibot schemas are accepted, functions included; other values are refused', async (t) => {
  const made = Object.assign(() => {}, { '~standard': z.string()['~standard'] })
  for (const schema of [z.string(), v.string(), made]) t.ok(isSchema(schema))
  for (const other of [undefined, null, 'string', {}, () => {}, { '~standard': {} }, { '~standard': null }]) t.notOk(isSchema(other))
  t.throws(() => createContext({ tenant: key({ schema: 'string' as never }) }), { code: 'FST_CTX_INVALID_OPTION', message: /keys\.tenant\.schema/ })
})

t.test('the output of a schema is the value, and undefined is not checked', async (t) => {
  for (const schema of [z.string().trim(), v.pipe(v.string(), v.trim())]) {
    t.equal(check('tenant', ' acme ', schema), 'acme')
    t.equal(checkNow('tenant', ' acme ', schema), 'acme')
    t.equal(check('tenant', undefined, schema), undefined)
    t.throws(() => check('tenant', 1, schema), code('FST_CTX_INVALID_VALUE'))
  }
  t.equal(checkNow('tenant', 1, undefined), 1)
  t.equal(await check('tenant', 'acme', slowly), 'acme')
  await t.rejects(async () => { await check('tenant', SECRET, slowly) }, code('FST_CTX_INVALID_VALUE'))
  t.throws(() => checkNow('tenant', SECRET, slowly), code('FST_CTX_ASYNC_SCHEMA'))
})

t.test('with several schemas a value passes through each in turn', async (t) => {
  t.equal(check('tenant', ' acme ', everyOf([z.string().trim(), z.string().max(4)])), 'acme')
  for (const schemas of [[z.string().min(5), z.string()], [z.string(), z.string().min(5)]]) t.throws(() => check('tenant', 'acme', everyOf(schemas)), code('FST_CTX_INVALID_VALUE'))
  for (const schemas of [[slowly, z.string()], [z.string(), slowly]]) {
    t.equal(await check('tenant', 'acme', everyOf(schemas)), 'acme')
    await t.rejects(async () => { await check('tenant', SECRET, everyOf(schemas)) }, code('FST_CTX_INVALID_VALUE'))
  }
})

t.test('when two applications share the ready-made context, a job passes the schemas of both', async (t) => {
  const first = Fastify()
  await first.register(context, { keys: { tenant: { schema: z.string().min(5) } } })
  const second = Fastify()
  await second.register(context, { keys: { tenant: { schema: z.string().max(8) }, locale: {} } })
  for (const app of [first, second]) t.teardown(() => app.close())
  t.equal(ready.run({ tenant: 'globex' }, () => ready.get('tenant')), 'globex')
  for (const tenant of ['acme', 'a long name']) t.throws(() => ready.run({ tenant }, () => {}), code('FST_CTX_INVALID_VALUE'))
})

t.test('a schema error exposes its issues to code and to no serialization', async (t) => {
  try {
    check('tenant', SECRET, z.literal('acme'))
    t.fail('it throws')
  } catch (error) {
    t.match((error as { issues: unknown }).issues, [{ message: /acme/ }])
    t.notOk(Object.keys(error as object).includes('issues'))
  }
})

t.test('a checked seed is async if the seed or the schema is, and only a mismatch is a client error', async (t) => {
  const request = {} as never
  for (const schema of [z.literal('acme'), slowly]) {
    for (const seed of [(value: unknown) => value, async (value: unknown) => value]) {
      t.equal(await checkedSeed('tenant', () => seed('acme'), schema)(request), 'acme')
      await t.rejects(async () => await checkedSeed('tenant', () => seed(SECRET), schema)(request), { code: 'FST_CTX_INVALID_VALUE', statusCode: 400 })
    }
  }
  const failing = { '~standard': { version: 1, vendor: 'test', validate () { throw new Error('the database is gone') } } } as const
  await t.rejects(async () => await checkedSeed('tenant', () => 'acme', failing)(request), { message: 'the database is gone', statusCode: undefined })
})

t.test('a seed value that fails its schema returns 400 with the name of the key, and no response or log line contains the value', async (t) => {
  for (const schema of [z.uuid(), slowly]) {
    const lines = new Lines(t)
    const ctx = createContext({ tenant: key({ schema, seed: (request) => request.headers['x-tenant-id'], log: true }) })
    const app = Fastify({ logger: { stream: lines } })
    await app.register(ctx.plugin)
    app.get('/', async () => ({ tenant: ctx.get('tenant') }))
    const { url } = await listen(t, app)
    const refused = await fetch(url, { headers: { 'x-tenant-id': SECRET } })
    t.equal(refused.status, 400)
    const body = await refused.text()
    t.match(JSON.parse(body), { code: 'FST_CTX_INVALID_VALUE', message: /'tenant'/ })
    t.notMatch(body + lines.raw.join(), SECRET)
    t.same(await (await fetch(url)).json(), {}, 'a missing header is not validated')
    const own = '7f3b0b4e-0a51-4b0c-9a46-6a6b1f5cbb6d'
    t.same(await (await fetch(url, { headers: { 'x-tenant-id': own } })).json(), { tenant: own })
  }
})

t.test('set, run and impersonate check their values, also for locked keys, and keep the old value on failure', async (t) => {
  const ctx = createContext({ tenant: key({ schema: z.string().trim().min(2) }), other: key<string>() })
  ctx.run({ tenant: ' acme ', other: 'x' }, () => {
    t.equal(ctx.get('tenant'), 'acme')
    t.throws(() => ctx.set('tenant', ''), { code: 'FST_CTX_INVALID_VALUE', statusCode: 500 })
    t.throws(() => ctx.run({ tenant: '' }, () => {}), code('FST_CTX_INVALID_VALUE'))
    t.throws(() => ctx.impersonate({ tenant: '' }, { reason: 'ticket' }, () => {}), code('FST_CTX_INVALID_VALUE'))
    t.equal(ctx.get('tenant'), 'acme')
    ctx.set('tenant', undefined)
    t.notOk(ctx.has('tenant'))
    ctx.set('tenant', ' globex ')
    t.equal(ctx.get('tenant'), 'globex')
  })
})

t.test('an envelope with an invalid value, or an invalid actor, starts no work, with and without unpack', async (t) => {
  const ctx = createContext({
    tenant: key({ schema: slowly, carry: true }),
    plan: key({ schema: z.enum(['free', 'paid']), carry: { pack: (plan) => plan, unpack: (packed: unknown) => packed as 'free' } })
  })
  const envelope = (values: object, actor?: object): string => JSON.stringify({ v: 1, requestId: 'r-1', values, actor })
  t.same(await ctx.hydrate(envelope({ tenant: 'acme', plan: 'free' }), () => [ctx.get('tenant'), ctx.get('plan')]), ['acme', 'free'])
  for (const wrong of [envelope({ tenant: SECRET }), envelope({ plan: 'none' }), envelope({}, { reason: 'ticket', values: { plan: 'none' }, unset: [] })]) {
    await t.rejects(async () => { await ctx.hydrate(wrong, () => t.fail('it does not start')) }, { code: 'FST_CTX_UNPACK_FAILED', cause: { code: 'FST_CTX_INVALID_VALUE' } }, wrong)
  }
})
