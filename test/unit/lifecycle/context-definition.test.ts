import t from 'tap'
import { readKeys } from '../../../lib/config/key-policies.ts'
import { ContextDefinition, type ComposeFetch } from '../../../lib/lifecycle/context-definition.ts'
import type { Registration } from '../../../lib/scope/scope.ts'
import { readSettings } from '../../../lib/config/options.ts'

const registration = (idLabel: string, ...names: string[]): Registration => ({ ...new ContextDefinition(readKeys(Object.fromEntries(names.map((name) => [name, {}])))).registration, idLabel })

t.test('unregistered: the keys of createContext, and Fastify\'s default label of the request id', async (t) => {
  const keys = readKeys({ tenant: {} })
  t.equal(new ContextDefinition(keys).registration.policy, keys)
  t.equal(new ContextDefinition(keys).registration.idLabel, 'reqId')
  t.equal(new ContextDefinition(keys).registration.log, undefined)
  t.equal(new ContextDefinition().registration.policy.names.size, 0)
})

t.test('registered: of several registrations with one policy the last open one applies, closed in any order', async (t) => {
  const definition = new ContextDefinition(readKeys({ tenant: {} }))
  const [a, b, c] = ['a', 'b', 'c'].map((idLabel) => ({ ...definition.registration, idLabel })) as [Registration, Registration, Registration]
  for (const each of [a, b, c]) definition.register(each)
  t.equal(definition.registration, c)
  t.same(definition.registrations, [a, b, c])
  definition.unregister(b)
  t.equal(definition.registration, c)
  definition.unregister(c)
  t.equal(definition.registration, a)
})

t.test('closed: the last policy stays, without the logger', async (t) => {
  const definition = new ContextDefinition()
  const last = { ...registration('a', 'tenant'), log: {} as never }
  definition.register(last)
  definition.unregister(last)
  t.same(definition.registration, { ...last, log: undefined })
  t.same(definition.registrations, [])
})

t.test('checkKey', async (t) => {
  t.test('of a custom context: accepts only its keys', async (t) => {
    const definition = new ContextDefinition(readKeys({ tenant: {} }))
    t.doesNotThrow(() => { definition.checkKey('tenant') })
    for (const name of ['tenat', 'run', '__proto__', 'requestId']) t.throws(() => { definition.checkKey(name) }, { code: 'FST_CTX_UNKNOWN_KEY' }, name)
  })

  t.test('of the ready-made context: accepts any valid key name', async (t) => {
    const definition = new ContextDefinition()
    definition.register(registration('reqId', 'tenant'))
    for (const name of ['tenant', 'anything']) t.doesNotThrow(() => { definition.checkKey(name) }, name)
    for (const name of ['run', '__proto__', 'requestId', '']) t.throws(() => { definition.checkKey(name) }, { code: 'FST_CTX_INVALID_KEY' }, name)
  })
})

t.test('fetch is intercepted while an application sends headers, or from the first use outside any application', async (t) => {
  const policy = readKeys({ tenant: { header: 'x-tenant' } })
  const options = { propagate: { 'https://api.example': ['tenant'] } }
  const listed = readSettings(options, policy)
  const calls: unknown[] = []
  const composeFetch: ComposeFetch = (interceptor) => {
    calls.push(interceptor)
    return () => { calls.push('restored') }
  }

  t.test('of a custom context', async (t) => {
    const definition = new ContextDefinition(policy, options, composeFetch)
    t.same(calls, [], 'an import changes nothing')
    const [a, b] = [{ ...definition.registration }, { ...definition.registration }]
    definition.register(a)
    t.same(calls.splice(0), [definition.interceptor])
    definition.register(b)
    definition.unregister(a)
    t.same(calls, [])
    definition.unregister(b)
    t.same(calls.splice(0), ['restored'])
    t.equal(definition.openOutside(), definition.registration)
    definition.openOutside()
    t.same(calls.splice(0), [definition.interceptor], 'again, once, when a job needs it')
  })

  t.test('of the ready-made context, for each registration that lists an origin', async (t) => {
    const definition = new ContextDefinition(undefined, undefined, composeFetch)
    definition.openOutside()
    const [none, some] = [registration('reqId'), { ...registration('reqId'), settings: listed }]
    definition.register(none)
    t.same(calls, [], 'a registration that lists nothing changes nothing')
    definition.register(some)
    t.same(calls.splice(0), [definition.interceptor])
    definition.unregister(some)
    definition.unregister(none)
    t.same(calls.splice(0), ['restored'])
  })

  t.test('without a way to compose it', async (t) => {
    t.doesNotThrow(() => { new ContextDefinition(policy, options).openOutside() })
  })
})

t.test('options that are given late', async (t) => {
  const policy = readKeys({ tenant: { header: 'x-tenant', carry: true, log: true } })
  const propagate = { 'https://api.example': ['tenant'] }
  const secrets = ['a secret of 32 characters, or so']

  t.test('configure: apply to every scope from now on, and to applications that are registered later', async (t) => {
    const definition = new ContextDefinition(policy, { envelope: { maxBytes: 256 } })
    definition.configure({ propagate })
    t.same(definition.openOutside().settings.propagate, propagate)
    t.equal(definition.registration.settings.envelope.maxBytes, 256)
    t.equal(definition.rulesFor({}).settings, definition.registration.settings)
    t.equal(definition.rulesFor({ requestId: {} } as never).settings, definition.registration.settings, 'options of applications change nothing')
    t.equal(definition.rulesFor({ diagnostics: false }).settings.diagnostics, false)
    t.same(definition.rulesFor({ diagnostics: false }).settings.propagate, propagate)
  })

  t.test('configure: only once, and before the context is used', async (t) => {
    for (const [because, use] of [
      ['it was called before', (definition: ContextDefinition) => { definition.configure({}) }],
      ['the context is registered in an application', (definition: ContextDefinition) => { definition.register(definition.registration) }],
      ['a scope of the context was opened before', (definition: ContextDefinition) => { definition.openOutside() }]
    ] as const) {
      const definition = new ContextDefinition(policy)
      use(definition)
      const { settings } = definition.registration
      t.throws(() => { definition.configure({ propagate }) }, { code: 'FST_CTX_ALREADY_CONFIGURED', message: because })
      t.equal(definition.registration.settings, settings)
    }
  })

  t.test('an invalid option is refused, and can be given again', async (t) => {
    const definition = new ContextDefinition(policy)
    t.throws(() => { definition.configure({ propagate: { 'https://api.example': ['user'] } }) }, { code: 'FST_CTX_INVALID_OPTION' })
    t.doesNotThrow(() => { definition.configure({ propagate }) })
  })

  t.test('an option can be given in one place only', async (t) => {
    const definition = new ContextDefinition(policy, { propagate })
    for (const given of [propagate, {}]) {
      t.throws(() => { definition.configure({ propagate: given }) }, { code: 'FST_CTX_INVALID_OPTION', message: "'propagate' was given already" })
      t.throws(() => { definition.rulesFor({ propagate: given }) }, { code: 'FST_CTX_INVALID_OPTION', message: "'propagate' was given already" })
    }
    definition.configure({ envelope: { secrets }, propagate: undefined as never })
    t.throws(() => { definition.rulesFor({ envelope: { secrets } }) }, { code: 'FST_CTX_INVALID_OPTION', message: "'envelope' was given already" })
  })

  t.test("'late': no application starts without the option", async (t) => {
    const definition = new ContextDefinition(policy, { envelope: 'late', propagate: 'late' })
    t.throws(() => definition.rulesFor({}), { code: 'FST_CTX_NOT_CONFIGURED', message: "'envelope'" })
    t.throws(() => definition.rulesFor({ envelope: {}, propagate: undefined as never }), { code: 'FST_CTX_NOT_CONFIGURED', message: "'propagate'" })
    t.same(definition.rulesFor({ envelope: {}, propagate }).settings.propagate, propagate)
    definition.configure({ propagate, envelope: undefined as never })
    t.equal(definition.registration.settings.envelope.isLate, true, 'an undefined option counts as missing')
    t.match(definition.rulesFor({ envelope: { secrets } }).settings, { propagate, envelope: { secrets, isLate: undefined } })
  })

  t.test('the ready-made context also gets its keys in this way', async (t) => {
    const definition = new ContextDefinition()
    definition.configure({ keys: { tenant: { carry: true } }, envelope: { secrets } })
    t.same([...definition.registration.policy.serializedKeys.keys()], ['tenant'])
    t.throws(() => definition.rulesFor({ keys: {} }), { code: 'FST_CTX_INVALID_OPTION', message: "'keys' was given already" })
    t.equal(definition.rulesFor({}).policy, definition.registration.policy)
  })

  t.test('a property of Object.prototype is not an option', async (t) => {
    // eslint-disable-next-line no-extend-native -- the test covers other code that does this
    Object.defineProperty(Object.prototype, 'propagate', { value: propagate, configurable: true, enumerable: true })
    t.teardown(() => { Reflect.deleteProperty(Object.prototype, 'propagate') })
    const definition = new ContextDefinition(policy)
    definition.configure({})
    t.same(definition.registration.settings.propagate, {})
  })
})
