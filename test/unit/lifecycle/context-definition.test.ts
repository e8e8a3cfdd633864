import t from 'tap'
import { readKeys } from '../../../lib/config/key-policies.ts'
import { Owner, type ComposeFetch } from '../../../lib/lifecycle/context-definition.ts'
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

t.test('registered: the application; of several with one policy the last that is open, closed in whatever order', async (t) => {
  const owner = new Owner(readKeys({ tenant: {} }))
  const [a, b, c] = ['a', 'b', 'c'].map((idLabel) => ({ ...owner.registration, idLabel })) as [Registration, Registration, Registration]
  for (const each of [a, b, c]) owner.register(each)
  t.equal(owner.registration, c)
  t.same(owner.registrations, [a, b, c])
  owner.unregister(b)
  t.equal(owner.registration, c)
  owner.unregister(c)
  t.equal(owner.registration, a)
})

t.test('closed: the last policy stays, without the logger', async (t) => {
  const owner = new Owner()
  const last = { ...registration('a', 'tenant'), log: {} as never }
  owner.register(last)
  owner.unregister(last)
  t.same(owner.registration, { ...last, log: undefined })
  t.same(owner.registrations, [])
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

t.test('fetch is intercepted while an application sends headers, or from the first use outside of one', async (t) => {
  const policy = readKeys({ tenant: { header: 'x-tenant' } })
  const listed = readSettings({ propagate: { 'https://api.example': ['tenant'] } }, policy)
  const calls: unknown[] = []
  const composeFetch: ComposeFetch = (interceptor) => {
    calls.push(interceptor)
    return () => { calls.push('restored') }
  }

  t.test('of a context of your own', async (t) => {
    const owner = new Owner(policy, listed, composeFetch)
    t.same(calls, [], 'an import changes nothing')
    const [a, b] = [{ ...owner.registration }, { ...owner.registration }]
    owner.register(a)
    t.same(calls.splice(0), [owner.interceptor])
    owner.register(b)
    owner.unregister(a)
    t.same(calls, [])
    owner.unregister(b)
    t.same(calls.splice(0), ['restored'])
    t.equal(owner.openOutside(), owner.registration)
    owner.openOutside()
    t.same(calls.splice(0), [owner.interceptor], 'again where a job needs it, once')
  })

  t.test('of the ready-made one, by each registration that lists an origin', async (t) => {
    const owner = new Owner(undefined, undefined, composeFetch)
    owner.openOutside()
    const [none, some] = [registration('reqId'), { ...registration('reqId'), settings: listed }]
    owner.register(none)
    t.same(calls, [], 'where nothing is listed it stays as it is')
    owner.register(some)
    t.same(calls.splice(0), [owner.interceptor])
    owner.unregister(some)
    owner.unregister(none)
    t.same(calls.splice(0), ['restored'])
  })

  t.test('where nothing composes it', async (t) => {
    t.doesNotThrow(() => { new Owner(policy, listed).openOutside() })
  })
})
