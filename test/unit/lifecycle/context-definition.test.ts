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
  const listed = readSettings({ propagate: { 'https://api.example': ['tenant'] } }, policy)
  const calls: unknown[] = []
  const composeFetch: ComposeFetch = (interceptor) => {
    calls.push(interceptor)
    return () => { calls.push('restored') }
  }

  t.test('of a custom context', async (t) => {
    const definition = new ContextDefinition(policy, listed, composeFetch)
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
    t.doesNotThrow(() => { new ContextDefinition(policy, listed).openOutside() })
  })
})
