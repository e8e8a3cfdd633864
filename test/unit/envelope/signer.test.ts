import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import context, { createContext, ctx, key, type ReadyMadeOptions } from '../../../lib/index.ts'
import { Lines, turns, warnings, type Tap } from '../../support/support.ts'

const [A, B] = ['a'.repeat(32), 'b'.repeat(32)]

async function start (t: Tap, options: ReadyMadeOptions, lines?: Lines): Promise<FastifyInstance> {
  const app: FastifyInstance = lines === undefined ? Fastify() : Fastify({ logger: { stream: lines } })
  await app.register(context, options)
  app.get('/hydrate', async (request) => await ctx.hydrate(request.headers.envelope, () => ctx.get('tenant') ?? 'none'))
  await app.ready()
  t.teardown(() => app.close())
  return app
}

/** An envelope from another process with these secrets. */
function envelope (secrets?: string[], values: { tenant?: string, locale?: string } = { tenant: 'acme' }): string {
  const own = createContext({ tenant: key<string>({ carry: true }), locale: key<string>({ carry: true }) }, secrets === undefined ? {} : { envelope: { secrets } })
  return own.run(values, () => own.dehydrate())
}

const tenantIn = (text: string): Promise<unknown> => ctx.hydrate(text, () => ctx.get('tenant'))
const signedTenant = { keys: { tenant: { carry: true, log: true } }, envelope: { secrets: [A] } } as const

t.test('if only one of two applications signs, in either order, unsigned envelopes are refused and signed ones keep their values', async (t) => {
  for (const order of [[signedTenant, {}], [{}, signedTenant]]) {
    t.test(order[0] === signedTenant ? 'the first signs' : 'the last signs', async (t) => {
      const apps: FastifyInstance[] = []
      for (const options of order) apps.push(await start(t, options))
      await t.rejects(() => tenantIn(envelope()), { code: 'FST_CTX_ENVELOPE_REFUSED' })
      await t.rejects(() => tenantIn(envelope([B])), { code: 'FST_CTX_ENVELOPE_REFUSED' })
      await t.rejects(() => ctx.hydrate(undefined, () => {}), { code: 'FST_CTX_ENVELOPE_REFUSED' })
      t.equal(await tenantIn(envelope([A])), 'acme')
      for (const app of apps) {
        t.equal((await app.inject({ url: '/hydrate', headers: { envelope: envelope() } })).statusCode, 400, 'also in a request')
        t.equal((await app.inject({ url: '/hydrate', headers: { envelope: envelope([A]) } })).body, 'acme')
      }
    })
  }
})

t.test('after the last application closes, its policy stays while a worker drains', async (t) => {
  const app = await start(t, signedTenant)
  await app.close()
  await t.rejects(() => tenantIn(envelope()), { code: 'FST_CTX_ENVELOPE_REFUSED' })
  t.equal(await tenantIn(envelope([A])), 'acme')
})

t.test('two applications with different secrets: each envelope is read with the policy of the application that signed it', async (t) => {
  const dropped = warnings(t, 'FST_CTX_ENVELOPE_KEY')
  await start(t, signedTenant)
  await start(t, { keys: { locale: { carry: true } }, envelope: { secrets: [B] } })
  const read = (text: string): Promise<unknown> => ctx.hydrate(text, () => [ctx.get('tenant'), ctx.get('locale')])
  const values = { tenant: 'acme', locale: 's3cret' }
  t.same(await read(envelope([A], values)), ['acme', undefined])
  t.same(await read(envelope([B], values)), [undefined, 's3cret'])
  await t.rejects(() => read('x'.repeat(9000)), { code: 'FST_CTX_ENVELOPE_REFUSED' })
  await turns()
  t.equal(dropped.length, 2)
})

t.test('outside requests only what all applications allow is logged, carried and sent', async (t) => {
  const lines = new Lines(t)
  const sent = { propagate: { 'https://api.example': ['tenant', 'locale'] } }
  await start(t, { keys: { tenant: { log: true, carry: true, header: 'x-tenant' } }, propagate: { 'https://api.example': ['tenant'] } }, lines)
  const admin = await start(t, { keys: { tenant: { log: true, carry: true, header: 'x-tenant' }, locale: { log: true, carry: true, header: 'x-locale' } }, ...sent }, lines)
  const job = (): unknown => ctx.run({ tenant: 'acme', locale: 's3cret' }, () => {
    ctx.log.info('job')
    return { values: (JSON.parse(ctx.dehydrate()) as { values: unknown }).values, headers: ctx.headersFor('https://api.example/x') }
  })
  t.match(job(), { values: { tenant: 'acme' }, headers: { 'x-tenant': 'acme' } })
  t.notMatch(JSON.stringify(job()) + lines.raw.join(''), /s3cret/)
  t.equal(lines.all('job')[0]!.tenant, 'acme')
  await admin.close()
  t.match(job(), { values: { tenant: 'acme' }, headers: { 'x-tenant': 'acme' } })
})
