import t from 'tap'
import { readKeys } from '../../../lib/config/key-policies.ts'
import { Owner } from '../../../lib/lifecycle/context-definition.ts'
import type { Registration } from '../../../lib/scope/scope.ts'
import { readSettings } from '../../../lib/config/options.ts'

const registration = (idLabel: string, ...names: string[]): Registration => ({ ...new Owner(readKeys(Object.fromEntries(names.map((name) => [name, {}])))).registration, idLabel })

t.test('unregistered: the keys of createContext, and the label that Fastify has by default', async (t) => {
  const keys = readKeys({ tenant: {} })
  t.equal(new Owner(keys).registration.policy, keys)
  t.equal(new Owner(keys).registration.idLabel, 'reqId')
  t.equal(new Owner(keys).registration.log, undefined)
  t.equal(new Owner().registration.policy.names.size, 0)
})

t.test('registered: that of the application registered last that is still open, closed in whatever order', async (t) => {
  const owner = new Owner()
  const none = owner.registration
  const [a, b, c] = [registration('a'), registration('b'), registration('c')]
  for (const each of [a, b, c]) owner.register(each)
  t.equal(owner.registration, c)
  owner.unregister(b)
  t.equal(owner.registration, c)
  owner.unregister(c)
  t.equal(owner.registration, a)
  owner.unregister(a)
  t.equal(owner.registration, none)
})

t.test('checkKey', async (t) => {
  t.test('of a context of your own: its keys alone', async (t) => {
    const owner = new Owner(readKeys({ tenant: {} }))
    t.doesNotThrow(() => { owner.checkKey('tenant') })
    for (const name of ['tenat', 'run', '__proto__', 'requestId']) t.throws(() => { owner.checkKey(name) }, { code: 'FST_CTX_UNKNOWN_KEY' }, name)
  })

  t.test('of the ready-made one: any name that could be a key', async (t) => {
    const owner = new Owner()
    owner.register(registration('reqId', 'tenant'))
    for (const name of ['tenant', 'anything']) t.doesNotThrow(() => { owner.checkKey(name) }, name)
    for (const name of ['run', '__proto__', 'requestId', '']) t.throws(() => { owner.checkKey(name) }, { code: 'FST_CTX_INVALID_KEY' }, name)
  })
})

t.test('what fetch goes through is composed once, when the first origin is listed', async (t) => {
  const symbol = Symbol.for('undici.globalDispatcher.1')
  const holder = globalThis as unknown as Record<symbol, unknown>
  Reflect.get(globalThis, 'Response')
  const before = holder[symbol]
  t.teardown(() => { holder[symbol] = before })
  const composed: unknown[] = []
  holder[symbol] = { compose (interceptor: unknown) { composed.push(interceptor); return this } }
  const policy = readKeys({ tenant: { header: 'x-tenant' } })
  const listed = readSettings({ propagate: { 'https://api.example': ['tenant'] } }, policy)

  t.test('by createContext', async (t) => {
    const owner = new Owner(policy, listed)
    t.same(composed.splice(0), [owner.interceptor])
    t.equal(owner.settings, listed)
    owner.register({ ...owner.registration })
    t.same(composed, [])
  })

  t.test('or by a registration', async (t) => {
    const owner = new Owner()
    owner.register(registration('reqId'))
    t.same(composed, [], 'where nothing is listed it stays as it is')
    for (let i = 0; i < 2; i++) owner.register({ ...registration('reqId'), settings: listed })
    t.same(composed.splice(0), [owner.interceptor])
  })
})
