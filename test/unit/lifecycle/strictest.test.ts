import t from 'tap'
import { readKeys } from '../../../lib/config/key-policies.ts'
import { readSettings, type CreateOptions } from '../../../lib/config/options.ts'
import { ContextDefinition } from '../../../lib/lifecycle/context-definition.ts'
import { strictestOf } from '../../../lib/lifecycle/strictest.ts'
import { policyOf } from '../../../lib/api/explain.ts'
import type { Registration } from '../../../lib/scope/scope.ts'

const NONE = new ContextDefinition().registration

function registration (keys: Record<string, unknown>, options: CreateOptions = {}, other: Partial<Registration> = {}): Registration {
  const policy = readKeys(keys)
  return { ...NONE, policy, settings: readSettings(options, policy), ...other }
}

const id = (user: { readonly id: string }): string => user.id
const packing = { pack: String, unpack: String }

t.test('one registration, or several with one policy: the last one is used unchanged', async (t) => {
  const one = registration({ tenant: { log: true } })
  t.equal(strictestOf([one]), one)
  const last = { ...one, idLabel: 'last' }
  t.equal(strictestOf([one, last]), last)
})

t.test('log: a key is logged if all applications log it', async (t) => {
  const logOf = (...logs: unknown[]): unknown => strictestOf(logs.map((log) => registration({ user: log === undefined ? {} : { log } }))).policy.logged[0]?.log
  t.equal(logOf(true, true), true)
  t.equal(logOf(true, id), id)
  t.equal(logOf(id, true, id), id)
  t.equal(logOf(true, undefined), undefined)
  t.equal(logOf(true, false), undefined)
  const both = logOf(id, (user: { id: string, name: string }) => user.name) as (user: unknown) => unknown
  t.equal(both({ id: 'ada', name: 'ada' }), 'ada', 'if both mappers return the same')
  t.equal(both({ id: '1', name: 'ada' }), undefined)
  t.same(strictestOf([registration({ user: { log: true } }), registration({})]).policy.logged, [], 'a key that one of them does not declare')
})

t.test('carry and header: a key is carried or sent if all applications pack it in the same way', async (t) => {
  const of = (...keys: object[]): string[][] => {
    const { serializedKeys: carried, headers } = strictestOf(keys.map((key) => registration({ user: key }))).policy
    return [[...carried.keys()], [...headers.values()]]
  }
  t.same(of({ carry: true, header: 'x-user' }, { carry: true, header: 'X-User' }), [['user'], ['x-user']])
  t.same(of({ carry: packing, header: 'x-user' }, { carry: { ...packing }, header: 'x-user' }), [['user'], ['x-user']])
  t.same(of({ carry: packing, header: 'x-user' }, { carry: true, header: 'x-user' }), [[], []], 'the header would contain the unpacked value')
  t.same(of({ carry: packing, header: 'x-user' }, { header: 'x-user' }), [[], []])
  t.same(of({ carry: { ...packing, unpack: () => 'other' } }, { carry: packing }), [[], []])
  t.same(of({ carry: true, header: 'x-user' }, { header: 'x-user' }), [[], ['x-user']], 'both send it unpacked')
  t.same(of({ header: 'x-user' }, { header: 'x-other' }), [[], []])
})

t.test('locked, detach and missing apply if one application sets them', async (t) => {
  const { policy } = strictestOf([registration({ tenant: { locked: true, seed: () => 'a', missing: 404 } }), registration({ user: { detach: false } })])
  t.same([...policy.names], ['tenant', 'user'])
  t.same([...policy.locked], ['tenant'])
  t.same([...policy.undetached], ['user'])
  t.same([...policy.missing], [['tenant', 404]])
  t.equal(policy.seeds.length, 1)
})

t.test('envelopes: signed if one application requires it, with the smallest size and the shortest age', async (t) => {
  const envelopeOf = (...options: Array<CreateOptions['envelope']>): unknown => strictestOf(options.map((envelope) => registration({}, envelope === undefined ? {} : { envelope }))).settings.envelope
  const [a, b] = ['a'.repeat(32), 'b'.repeat(32)]
  t.same(envelopeOf({ secrets: [a], ttl: 100, maxBytes: 1000 }, undefined), { secrets: [a], ttl: 100, maxBytes: 1000 })
  t.same(envelopeOf({ secrets: [a], ttl: 100 }, { secrets: [b], ttl: 50, maxBytes: 10_000 }), { secrets: [b], ttl: 50, maxBytes: 8192 })
  t.same(envelopeOf({ secrets: [a] }, { secrets: [b] }), { secrets: [b], ttl: 7 * 86_400_000, maxBytes: 8192 })
  t.same(envelopeOf(undefined, { maxBytes: 512 }), { secrets: [], ttl: undefined, maxBytes: 512 })
})

t.test('origins: keys that all applications send there', async (t) => {
  const keys = { tenant: { header: 'x-tenant' }, user: { header: 'x-user' } }
  const a = registration(keys, { propagate: { 'https://a.example': ['tenant', 'user'], 'https://b.example': ['tenant'] } })
  const b = registration(keys, { propagate: { 'https://*.example': ['tenant'], 'https://a.example': ['user'], 'https://c.example': ['user'] } })
  const { policy, settings } = strictestOf([a, b])
  t.same([...settings.keysFor!('https://a.example')!], ['tenant', 'user'].filter((key) => key === 'user' || settings.keysFor!('https://a.example')!.has(key)))
  t.ok(settings.keysFor!('https://a.example')!.has('user'))
  t.equal(settings.keysFor!('https://c.example'), undefined)
  t.same([...settings.keysFor!('https://b.example')!], ['tenant'])
  t.equal(strictestOf([a, registration(keys)]).settings.keysFor!('https://a.example'), undefined)
  t.equal(strictestOf([registration(keys), a]).settings.keysFor!('https://a.example'), undefined)
  t.same(settings.propagate, { 'https://*.example': [], 'https://a.example': ['user'], 'https://c.example': [] })
  const definition = new ContextDefinition()
  for (const each of [a, b]) definition.register(each)
  t.same(policyOf(definition).map(({ origins }) => origins), [[], ['https://a.example']])
  t.equal(policy.headers.size, 2)
})

t.test('ids, traces, diagnostics', async (t) => {
  const tracing = { current: () => undefined, requestSpan: () => undefined, withParent: <R>(_trace: unknown, fn: () => R) => fn(), attributes: new Map([['tenant', 'app.tenant']]), setAttribute () {} }
  const logged = { tenant: { log: true } }
  const traced = registration(logged, { trace: tracing })
  t.equal(strictestOf([traced, registration(logged, { trace: tracing })]).settings.tracing, tracing)
  t.equal(strictestOf([traced, registration(logged)]).settings.tracing, undefined)
  t.equal(strictestOf([traced, registration(logged, { trace: { ...tracing } })]).settings.tracing, undefined)
  const unlogged = { ...traced, policy: readKeys({ tenant: {} }) }
  t.equal(strictestOf([traced, unlogged]).settings.tracing, undefined, 'an attribute that is not logged')

  const { idPattern, settings } = strictestOf([registration({}, { trace: false, diagnostics: false }, { idPattern: /^a/ }), registration({}, { diagnostics: true }, { idPattern: /b$/ })])
  t.same(['ab', 'a', 'b'].map((id) => idPattern.test(id)), [true, false, false])
  t.equal(settings.readsTrace, false)
  t.equal(settings.diagnostics, true)
})

t.test('of the limits of caches, the smallest one', async (t) => {
  const limitOf = (...limits: Array<number | undefined>): unknown => strictestOf(limits.map((cacheMax) => registration({}, cacheMax === undefined ? {} : { cacheMax }))).settings.cacheMax
  t.same([limitOf(undefined, undefined), limitOf(5, undefined), limitOf(5, 3)], [undefined, 5, 3])
})
