import t from 'tap'
import { JobScopes, type BullMQOptions } from '../../../lib/bullmq/job-scopes.ts'
import { createContext, key } from '../../../lib/index.ts'
import { warnings } from '../../support/support.ts'

const SECRETS = ['a secret of 32 characters, or so']
const keys = { tenant: key<string>({ carry: true }), token: key<string>() }
const plain = createContext(keys)
const signed = createContext(keys, { envelope: { secrets: SECRETS } })

/** A job as it comes from the queue, after JSON. */
function stored (queueName: string, name: string, data: unknown, opts: object): { queueName: string, name: string, data: unknown, opts: object } {
  return JSON.parse(JSON.stringify({ queueName, name, data: data === undefined ? {} : data, opts })) as ReturnType<typeof stored>
}

for (const [name, ctx] of Object.entries({ plain, signed })) {
  t.test(`${name}: a job runs in the scope in which it was added, with the carried keys`, async (t) => {
    const jobs = new JobScopes(ctx, {})
    const opts = ctx.run({ requestId: 'r-1', tenant: 'acme', token: 'secret' }, () => jobs.withEnvelope('mails', 'send', { to: 'ada' }, { attempts: 3 }), { timeout: 60_000 })
    t.match(opts, { attempts: 3, 'fastify-ctx': String })
    t.notMatch(JSON.stringify(opts), /secret"|remaining/)
    const seen = await jobs.run(stored('mails', 'send', { to: 'ada' }, opts), () => [ctx.get('requestId'), ctx.get('tenant'), ctx.get('token'), ctx.deadline])
    t.same(seen, ['r-1', 'acme', undefined, undefined])
  })

  t.test(`${name}: a job added outside any scope runs in a scope without values, with its own id`, async (t) => {
    const jobs = new JobScopes(ctx, { missing: 'refuse' })
    const job = stored('mails', 'send', undefined, jobs.withEnvelope('mails', 'send', undefined, undefined))
    const look = (): unknown[] => [ctx.get('tenant'), ctx.get('requestId')]
    const [tenant, id] = await ctx.run({ tenant: 'of the worker' }, () => jobs.run(job, look))
    t.same([tenant, typeof id], [undefined, 'string'])
    t.same(await jobs.run(job, look), [undefined, id])
  })

  t.test(`${name}: run() rejects with the error of fn`, async (t) => {
    const jobs = new JobScopes(ctx, { missing: 'run' })
    const error = new Error('failed')
    for (const opts of [{}, jobs.withEnvelope('mails', 'send', 1, {})]) {
      await t.rejects(jobs.run(stored('mails', 'send', 1, opts), () => { throw error }), error)
    }
  })
}

t.test('after the end of the scope no job can be added', async (t) => {
  const jobs = new JobScopes(plain, {})
  const { inject, late } = await lateCode()
  await inject()
  t.throws(() => late(() => jobs.withEnvelope('mails', 'send', {}, {})), { code: 'FST_CTX_ENDED' })

  async function lateCode (): Promise<{ inject: () => Promise<unknown>, late: <R>(fn: () => R) => R }> {
    const { default: Fastify } = await import('fastify')
    const app = Fastify()
    await app.register(plain.plugin)
    let late: ReturnType<typeof plain.snapshot>
    app.get('/', async () => { late = plain.snapshot(); return 'ok' })
    return { inject: async () => { await app.inject('/'); await app.close() }, late: (fn) => late(fn) }
  }
})

t.test('a signed envelope is refused in another queue, with another name or other data, and after a change', async (t) => {
  const jobs = new JobScopes(signed, {})
  const opts = signed.run({ tenant: 'acme' }, () => jobs.withEnvelope('mails', 'send', { to: 'ada', n: 1 }, {}))
  const envelope = (opts as { 'fastify-ctx': string })['fastify-ctx']
  const ran: string[] = []
  for (const [what, job] of Object.entries({
    queue: stored('reports', 'send', { to: 'ada', n: 1 }, opts),
    name: stored('mails', 'delete', { to: 'ada', n: 1 }, opts),
    data: stored('mails', 'send', { to: 'eve', n: 1 }, opts),
    more: stored('mails', 'send', { to: 'ada', n: 1, all: true }, opts),
    tenant: stored('mails', 'send', { to: 'ada', n: 1 }, { 'fastify-ctx': envelope.replace('acme', 'evil') }),
    garbage: stored('mails', 'send', { to: 'ada', n: 1 }, { 'fastify-ctx': 'garbage' }),
    object: stored('mails', 'send', { to: 'ada', n: 1 }, { 'fastify-ctx': { tenant: 'evil' } }),
    null: stored('mails', 'send', { to: 'ada', n: 1 }, { 'fastify-ctx': null }),
    missing: stored('mails', 'send', { to: 'ada', n: 1 }, {})
  })) {
    await t.rejects(jobs.run(job, () => { ran.push(what) }), { code: 'FST_CTX_ENVELOPE_REFUSED' }, what)
  }
  t.same(ran, [])
  t.equal(await jobs.run(stored('mails', 'send', { n: 1, to: 'ada' }, opts), () => signed.get('tenant')), 'acme', 'the order of keys may change')
})

t.test('the digest of data is the same before and after storage', async (t) => {
  const jobs = new JobScopes(signed, {})
  // A name with U+2028 in it would break the output of the test.
  for (const data of [undefined, null, 0, -0, '', 'ü\u2028', [], [[1], { b: 1, a: [{ d: 1, c: 2 }] }], { 10: 'a', 9: 'b', x: undefined, at: new Date(0) }, JSON.parse('{"__proto__":{"a":1}}')] as unknown[]) {
    t.equal(await jobs.run(stored('q', 'n', data, jobs.withEnvelope('q', 'n', data, {})), () => 'ran'), 'ran', encodeURI(JSON.stringify(data) ?? 'undefined'))
  }
})

t.test('signData: false: the data may change, the name and the queue may not', async (t) => {
  const jobs = new JobScopes(signed, { signData: false })
  const opts = signed.run({ tenant: 'acme' }, () => jobs.withEnvelope('mails', 'send', { step: 1 }, {}))
  t.equal(await jobs.run(stored('mails', 'send', { step: 2 }, opts), () => signed.get('tenant')), 'acme')
  await t.rejects(jobs.run(stored('mails', 'delete', { step: 1 }, opts), () => {}), { code: 'FST_CTX_ENVELOPE_REFUSED' })
  await t.rejects(new JobScopes(signed, {}).run(stored('mails', 'send', { step: 1 }, opts), () => {}), { code: 'FST_CTX_ENVELOPE_REFUSED' }, 'both sides need the same option')
})

t.test('missing: a job without an envelope runs in a scope without values, or is refused', async (t) => {
  const job = stored('mails', 'send', {}, { attempts: 3 })
  for (const [ctx, missing, expected] of [[plain, undefined, 'ran'], [plain, 'run', 'ran'], [plain, 'refuse', 'FST_CTX_ENVELOPE_REFUSED'], [signed, undefined, 'FST_CTX_ENVELOPE_REFUSED'], [signed, 'run', 'ran'], [signed, 'refuse', 'FST_CTX_ENVELOPE_REFUSED']] as const) {
    const jobs = new JobScopes(ctx, missing === undefined ? {} : { missing })
    const outcome = await ctx.run({ tenant: 'of the worker' }, () => jobs.run(job, () => ctx.get('tenant') ?? 'ran')).catch(({ code }: { code: string }) => code)
    t.equal(outcome, expected, `${String(missing)}, ${ctx === signed ? 'signed' : 'plain'}`)
  }
})

t.test('secrets that are still to come: nothing is added and nothing runs, not even a job without an envelope', async (t) => {
  const late = createContext(keys, { envelope: 'late' })
  const jobs = new JobScopes(late, {})
  t.throws(() => jobs.withEnvelope('mails', 'send', {}, {}), { code: 'FST_CTX_NOT_CONFIGURED' })
  for (const opts of [{}, { 'fastify-ctx': 'garbage' }]) await t.rejects(jobs.run(stored('mails', 'send', {}, opts), () => {}), { code: 'FST_CTX_NOT_CONFIGURED' })
})

t.test('without secrets an invalid envelope gives a scope without values, and a warning', async (t) => {
  const warned = warnings(t, 'FST_CTX_ENVELOPE')
  const jobs = new JobScopes(plain, {})
  t.equal(await jobs.run(stored('mails', 'send', {}, { 'fastify-ctx': '{"v":1,"values":{"tenant":"evil"},"more":1}' }), () => plain.get('tenant')), undefined)
  while (warned.length === 0) await new Promise(setImmediate)
  t.equal(warned.length, 1)
})

t.test('invalid options are refused by name', async (t) => {
  for (const [options, name] of [[{ missing: 'ignore' }, 'missing'], [{ missing: null }, 'missing'], [{ signData: 1 }, 'signData'], [{ sign: true }, 'sign']] as const) {
    t.throws(() => new JobScopes(plain, options as unknown as BullMQOptions), { code: 'FST_CTX_INVALID_OPTION', message: new RegExp(`'${name}'`) })
  }
})
