import Fastify from 'fastify'
import t from 'tap'
import context, { createContext, ctx, key } from '../../../lib/index.ts'
import { NO_KEYS, readKeys } from '../../../lib/config/key-policies.ts'
import { readSettings } from '../../../lib/config/options.ts'

const SECRET = 'a secret of 32 characters, or so'

const tracing = {
  current: () => undefined, requestSpan: () => undefined, withParent: <R>(_trace: unknown, fn: () => R): R => fn(), attributes: new Map<string, string>(), setAttribute: () => {}
}

t.test('option defaults: 8,192 bytes, no secrets, no age limit, no propagation, incoming traces are read', async (t) => {
  for (const options of [{}, { envelope: {} }, { envelope: { maxBytes: undefined, ttl: undefined } }, { envelope: undefined, propagate: undefined, trace: undefined }]) {
    const { envelope, propagate, keysFor, readsTrace, tracing, diagnostics } = readSettings(options as {}, NO_KEYS)
    t.same(envelope, { maxBytes: 8192, secrets: [], ttl: undefined })
    t.same([propagate, keysFor, readsTrace, tracing, diagnostics], [{}, undefined, true, undefined, true])
  }
})

t.test('each option overrides its default', async (t) => {
  const policy = readKeys({ tenant: { header: 'x-tenant', log: true } })
  const propagate = { 'https://api.example': ['tenant', 'requestId'] }
  const { envelope, keysFor, readsTrace, propagate: read } = readSettings({ envelope: { maxBytes: 256, secrets: [SECRET], ttl: 0.5 }, propagate, trace: false }, policy)
  t.same(envelope, { maxBytes: 256, secrets: [SECRET], ttl: 0.5 })
  t.equal(read, propagate)
  t.same([...keysFor!('https://api.example/x')!], ['tenant', 'requestId'])
  t.equal(readsTrace, false)
  t.equal(readSettings({ trace: true }, policy).tracing, undefined)
  const traced = readSettings({ trace: { ...tracing, attributes: new Map([['tenant', 'app.tenant']]) } }, policy)
  t.equal(traced.readsTrace, true)
  t.equal(traced.tracing?.attributes.get('tenant'), 'app.tenant')
})

t.test('diagnostics default to on unless NODE_ENV is production', async (t) => {
  const before = process.env.NODE_ENV
  t.teardown(() => {
    if (before === undefined) delete process.env.NODE_ENV
    else process.env.NODE_ENV = before
  })
  for (const [environment, expected] of [['development', true], ['production', false], ['', true]] as const) {
    process.env.NODE_ENV = environment
    t.equal(readSettings({}, NO_KEYS).diagnostics, expected, environment)
    for (const diagnostics of [true, false]) t.equal(readSettings({ diagnostics }, NO_KEYS).diagnostics, diagnostics)
  }
})

t.test('secrets are copied: a later change of the list has no effect', async (t) => {
  const secrets = [SECRET]
  const { envelope } = readSettings({ envelope: { secrets } }, NO_KEYS)
  secrets[0] = 'short'
  secrets.push('short')
  t.same(envelope.secrets, [SECRET])
})

/** The invalid option, and the name that the error contains. */
const WRONG: ReadonlyArray<[options: object, name: string]> = [
  ...['small', 7, null].map((envelope) => [{ envelope }, 'envelope'] as [object, string]),
  [{ envelope: { maxbytes: 512 } }, 'envelope.maxbytes'],
  [{ envelope: { secret: SECRET } }, 'envelope.secret'],
  ...[0, 255, -1, 512.5, NaN, Infinity, 2 ** 53, '512', null].map((maxBytes) => [{ envelope: { maxBytes } }, 'envelope.maxBytes'] as [object, string]),
  ...[SECRET, 7, null, {}, [7], [SECRET, ''], [SECRET.slice(1)], [SECRET, SECRET.slice(1)], [Buffer.from(SECRET)]].map((secrets) => [{ envelope: { secrets } }, 'envelope.secrets'] as [object, string]),
  // A missing environment variable. It must not turn signing off by accident.
  [{ envelope: { secrets: [] } }, 'envelope.secrets'],
  [{ envelope: { secrets: undefined } }, 'envelope.secrets'],
  [{ envelope: { secrets: [undefined] } }, 'envelope.secrets'],
  ...[0, -1, NaN, '60000', null].map((ttl) => [{ envelope: { secrets: [SECRET], ttl } }, 'envelope.ttl'] as [object, string]),
  // Without a signature anybody could change the age.
  [{ envelope: { ttl: 60_000 } }, 'envelope.ttl'],
  ...[null, 'off', 0, {}, { current: () => undefined }, { ...tracing, current: true }, { ...tracing, requestSpan: undefined }, { ...tracing, attributes: undefined }, { ...tracing, attributes: {} }]
    .map((trace) => [{ trace }, 'trace'] as [object, string]),
  [{ trace: { ...tracing, attributes: new Map([['token', 'app.token']]) } }, 'trace.attributes.token'],
  [{ trace: { ...tracing, attributes: new Map([['unknown', 'app.unknown']]) } }, 'trace.attributes.unknown'],
  [{ propagate: { 'https://api.example': ['token'] } }, "propagate['https://api.example']"],
  [{ propagate: null }, 'propagate'],
  ...[null, true, 'no', {}].map((onImpersonate) => [{ onImpersonate }, 'onImpersonate'] as [object, string]),
  ...[null, 'yes', 1].map((diagnostics) => [{ diagnostics }, 'diagnostics'] as [object, string])
]

t.test('createContext refuses an invalid option by its name', async (t) => {
  for (const [options, name] of WRONG) {
    t.throws(() => createContext({ token: key<string>() }, options), { code: 'FST_CTX_INVALID_OPTION', message: `'${name}'` }, JSON.stringify(options))
  }
  for (const name of ['envelop', 'keys', 'requestId']) t.throws(() => createContext({}, { [name]: {} }), { code: 'FST_CTX_INVALID_OPTION', message: `'${name}'` })
  for (const options of [null, 7, 'envelope', [], [{ envelope: {} }], () => {}]) t.throws(() => createContext({}, options as never), { code: 'FST_CTX_INVALID_OPTION', message: "'createContext'" })
})

t.test('the registration of the ready-made context refuses an invalid option by its name', async (t) => {
  for (const [options, name] of WRONG) {
    const app = Fastify()
    await t.rejects(async () => { await app.register(context, { keys: { token: {} }, ...options } as never) }, { code: 'FST_CTX_INVALID_OPTION', message: `'${name}'` }, JSON.stringify(options))
    await app.close()
  }
  t.same(ctx.policy(), [], 'nothing is registered')
})

t.test("'late' marks options that are still missing: nothing is carried or sent before", async (t) => {
  const { envelope, propagate, keysFor } = readSettings({ envelope: 'late', propagate: 'late' }, NO_KEYS)
  t.match(envelope, { isLate: true, secrets: [] })
  t.same(propagate, {})
  t.throws(() => keysFor!('https://api.example'), { code: 'FST_CTX_NOT_CONFIGURED', message: "'propagate'" })
  for (const name of ['trace', 'diagnostics']) t.throws(() => readSettings({ [name]: 'late' }, NO_KEYS), { code: 'FST_CTX_INVALID_OPTION', message: `'${name}'` })
})

t.test('error messages never contain a secret', async (t) => {
  for (const options of [{ envelope: { secrets: [SECRET, 'too short'] } }, { envelope: { secrets: SECRET } }, { envelope: { secrets: [SECRET], ttl: -1 } }]) {
    try {
      createContext({}, options as never)
      t.fail('it is refused')
    } catch (error) {
      t.notMatch((error as Error).message, SECRET)
      t.notMatch((error as Error).message, 'too short')
    }
  }
})

t.test('a signed envelope expires after a week, or after its ttl', async (t) => {
  const ttlOf = (ttl?: number): unknown => readSettings({ envelope: { secrets: [SECRET], ...(ttl === undefined ? {} : { ttl }) } }, NO_KEYS).envelope.ttl
  t.same([ttlOf(), ttlOf(5), ttlOf(Infinity)], [7 * 86_400_000, 5, Infinity])
})
