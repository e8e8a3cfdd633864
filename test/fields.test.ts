import t from 'tap'
import { keepLine, lineOf, wantFields } from '../lib/fields.ts'
import { Owner } from '../lib/owner.ts'
import { readKeys } from '../lib/policy.ts'
import { Scope, type Life, type Registration } from '../lib/scope.ts'
import { turns, warnings } from './support.ts'

const registrationOf = (keys: object): Registration => new Owner(readKeys(keys as Record<string, unknown>)).registration

const owner = {}

/** The root of a request with these keys and values. */
function root (keys: object, values: Record<string, unknown> = {}): Scope {
  const scope = new Scope(owner, registrationOf(keys), undefined, undefined, {} as Life)
  Object.assign(scope.store, { requestId: 'id-1' }, values)
  return scope
}

const logged = { tenant: { log: true }, user: { log: (user: { id: string }) => user.id }, token: {} }

/** What the lines carry that are kept when a scope ends. */
function ended (scope: Scope): object {
  wantFields()
  scope.end(keepLine)
  return lineOf(scope).fields
}

t.test('the line of a scope has the request id and each key with log that is set', async (t) => {
  t.same(lineOf(root(logged)).fields, { reqId: 'id-1' })
  t.same(lineOf(root(logged, { tenant: 'acme', user: { id: 'ada' }, token: 'hush' })).fields, { reqId: 'id-1', tenant: 'acme', user: 'ada' })
})

t.test('it is made once, and again when a value is another, here or in the parent', async (t) => {
  let calls = 0
  const keys = { tenant: { log: true }, user: { log: (user: string) => { calls++; return user } }, token: {} }
  const scope = root(keys, { user: 'ada' })
  const child = new Scope(owner, scope.registration, scope)
  const line = lineOf(scope)
  t.equal(lineOf(scope), line)
  scope.store.token = 'hush'
  t.equal(lineOf(scope), line, 'a key that is not logged changes nothing')
  t.equal(calls, 1)
  t.equal(lineOf(child).fields.tenant, undefined)
  scope.store.tenant = 'acme'
  t.not(lineOf(scope), line)
  t.equal(lineOf(scope).fields.tenant, 'acme')
  t.equal(lineOf(child).fields.tenant, 'acme')
  child.store.user = 'eve'
  t.same([lineOf(child).fields.user, lineOf(scope).fields.user], ['eve', 'ada'])
})

t.test('it includes that of the scope of another context around it, as that is now', async (t) => {
  const outer = root(logged, { tenant: 'acme' })
  const inner = new Scope({}, registrationOf({ job: { log: true } }), undefined, outer)
  Object.assign(inner.store, { requestId: 'id-1', job: 'report' })
  t.same(lineOf(inner).fields, { reqId: 'id-1', tenant: 'acme', job: 'report' })
  const line = lineOf(inner)
  t.equal(lineOf(inner), line)
  outer.store.tenant = 'other'
  t.same(lineOf(inner).fields, { reqId: 'id-1', tenant: 'other', job: 'report' })
})

t.test('a mapper that throws costs its field, and one warning for its key, with the place', async (t) => {
  const told = warnings(t, 'FST_CTX_LOG_MAPPER')
  const failing = (): never => { throw new Error('private') }
  // eslint-disable-next-line no-throw-literal
  const throwing = (): never => { throw 'private' }
  for (let i = 0; i < 2; i++) t.strictSame(JSON.parse(JSON.stringify(lineOf(root({ a: { log: failing }, b: { log: throwing }, c: { log: true } }, { a: 1, b: 2, c: 3 })).fields)), { reqId: 'id-1', c: 3 })
  await turns()
  t.same(told.map(({ message }) => /'(\w)'/.exec(message)?.[1]), ['a', 'b'])
  t.match((told[0] as { detail?: string }).detail, /^at failing .*fields\.test/)
  t.equal((told[1] as { detail?: string }).detail, undefined, 'what is no error has no place')
  t.notMatch(JSON.stringify(told.map((warning) => ({ ...warning, message: warning.message }))), /private/)
})

t.test('an error without a stack costs no more', async (t) => {
  const log = (): never => { throw Object.assign(new Error('private'), { stack: undefined }) }
  t.equal(lineOf(root({ stackless: { log } }, { stackless: 1 })).fields.stackless, undefined)
})

t.test('when a scope ends, its line stays as it was, as JSON, without the values', async (t) => {
  const user = { id: 'ada', since: new Date(0), secret: undefined, toJSON () { return { id: this.id, since: this.since } } }
  const scope = root({ tenant: { log: true }, user: { log: true }, none: { log: true } }, { tenant: 'acme', user, none: null })
  t.same(ended(scope), { reqId: 'id-1', tenant: 'acme', user: { id: 'ada', since: '1970-01-01T00:00:00.000Z' }, none: null })
  t.same(lineOf(scope).values, [])
  user.id = 'changed'
  t.match(lineOf(scope).fields, { user: { id: 'ada' } })
})

t.test('what is no JSON is gone with the value', async (t) => {
  const ring: Record<string, unknown> = {}
  ring.self = ring
  const scope = root({ ring: { log: true }, broken: { log: true }, tenant: { log: true } }, { ring, broken: { toJSON () { throw new Error('broken') } }, tenant: 'acme' })
  t.strictSame(JSON.parse(JSON.stringify(ended(scope))), { reqId: 'id-1', tenant: 'acme' })
})

t.test('a scope opened below one that has ended has what that one carried, and its own', async (t) => {
  const scope = root(logged, { tenant: 'acme', user: { id: 'ada' } })
  ended(scope)
  const child = new Scope(owner, scope.registration, scope)
  child.store.user = { id: 'eve' }
  const deeper = new Scope(owner, scope.registration, child)
  t.same(lineOf(child).fields, { reqId: 'id-1', tenant: 'acme', user: 'eve' })
  t.same(lineOf(deeper).fields, { reqId: 'id-1', tenant: 'acme', user: 'eve' })
})

t.test('where no logger of the process writes fields, nothing is kept', async (t) => {
  const { keepLine } = await t.mockImport<typeof import('../lib/fields.ts')>('../lib/fields.ts')
  let calls = 0
  const scope = root({ user: { log: () => ++calls } }, { user: 'ada' })
  scope.end(keepLine)
  t.equal(calls, 0)
  t.equal(scope.line, undefined)
})
