import t from 'tap'
import { openJobTrace } from '../../../lib/scope/active-trace.ts'
import { KeptField } from '../../../lib/logging/field-text.ts'
import { fieldOf, keepLine, lineOf, attributeWriter, wantFields } from '../../../lib/logging/fields.ts'
import { ContextDefinition } from '../../../lib/lifecycle/context-definition.ts'
import { readKeys } from '../../../lib/config/key-policies.ts'
import { Scope, type Lifetime, type Registration } from '../../../lib/scope/scope.ts'
import type { Trace, Tracing } from '../../../lib/tracing/trace-context.ts'
import { turns, warnings } from '../../support/support.ts'

const registrationOf = (keys: object): Registration => new ContextDefinition(readKeys(keys as Record<string, unknown>)).registration

const definition = {}

/** A request's root scope with these keys and values. */
function root (keys: object, values: Record<string, unknown> = {}): Scope {
  const scope = new Scope(definition, registrationOf(keys), undefined, undefined, {} as Lifetime)
  Object.assign(scope.store, { requestId: 'id-1' }, values)
  return scope
}

const logged = { tenant: { log: true }, user: { log: (user: { id: string }) => user.id }, token: {} }

/** The text that is kept for log lines when a scope ends. */
function ended (scope: Scope): object {
  wantFields()
  scope.end(keepLine)
  return Object.fromEntries(Object.entries(lineOf(scope).fields).map(([name, field]) => [name, field instanceof KeptField ? field.value : field]))
}

t.test('the fields of a scope are the request id and each set key with log', async (t) => {
  t.same(lineOf(root(logged)).fields, { reqId: 'id-1' })
  t.same(lineOf(root(logged, { tenant: 'acme', user: { id: 'ada' }, token: 'hush' })).fields, { reqId: 'id-1', tenant: 'acme', user: 'ada' })
})

t.test('the fields are new if any value has changed, whichever and however many', async (t) => {
  const names = ['a', 'b', 'c', 'd']
  const scope = root(Object.fromEntries(names.map((name) => [name, { log: true }])), { a: 1, b: 1, c: 1, d: 1 })
  for (const name of names) {
    const before = lineOf(scope)
    t.equal(lineOf(scope), before)
    scope.write(name, 2)
    t.match(lineOf(scope).fields, { ...before.fields, [name]: 2 })
  }
})

t.test('the fields are built once, and again after a value changes, here or in the parent', async (t) => {
  let calls = 0
  const keys = { tenant: { log: true }, user: { log: (user: string) => { calls++; return user } }, token: {} }
  const scope = root(keys, { user: 'ada' })
  const child = new Scope(definition, scope.registration, scope)
  const line = lineOf(scope)
  t.equal(lineOf(scope), line)
  scope.store.token = 'hush'
  t.equal(lineOf(scope), line, 'a key without log changes nothing')
  t.equal(calls, 1)
  t.equal(lineOf(child).fields.tenant, undefined)
  scope.write('tenant', 'acme')
  t.not(lineOf(scope), line)
  t.equal(lineOf(scope).fields.tenant, 'acme')
  t.equal(lineOf(child).fields.tenant, 'acme')
  child.write('user', 'eve')
  t.same([lineOf(child).fields.user, lineOf(scope).fields.user], ['eve', 'ada'])
})

t.test('the fields include the current ones of an enclosing scope of another context', async (t) => {
  const outer = root(logged, { tenant: 'acme' })
  const inner = new Scope({}, registrationOf({ job: { log: true } }), undefined, outer)
  Object.assign(inner.store, { requestId: 'id-1', job: 'report' })
  t.same(lineOf(inner).fields, { reqId: 'id-1', tenant: 'acme', job: 'report' })
  const line = lineOf(inner)
  t.equal(lineOf(inner), line)
  outer.store.tenant = 'other'
  t.same(lineOf(inner).fields, { reqId: 'id-1', tenant: 'other', job: 'report' })
})

t.test('a mapper that throws drops its field, with one warning per key that names the place', async (t) => {
  const told = warnings(t, 'FST_CTX_LOG_MAPPER')
  const failing = (): never => { throw new Error('private') }
  // eslint-disable-next-line no-throw-literal -- the test covers a mapper that throws a non-error
  const throwing = (): never => { throw 'private' }
  for (let i = 0; i < 2; i++) t.strictSame(JSON.parse(JSON.stringify(lineOf(root({ a: { log: failing }, b: { log: throwing }, c: { log: true } }, { a: 1, b: 2, c: 3 })).fields)), { reqId: 'id-1', c: 3 })
  await turns()
  t.same(told.map(({ message }) => /'(\w)'/.exec(message)?.[1]), ['a', 'b'])
  t.match((told[0] as { detail?: string }).detail, /^at failing .*fields\.test/)
  t.equal((told[1] as { detail?: string }).detail, undefined, 'a non-error has no place')
  t.notMatch(JSON.stringify(told.map((warning) => ({ ...warning, message: warning.message }))), /private/)
})

t.test('an error without a stack also drops only the field', async (t) => {
  const log = (): never => { throw Object.assign(new Error('private'), { stack: undefined }) }
  t.equal(lineOf(root({ stackless: { log } }, { stackless: 1 })).fields.stackless, undefined)
})

t.test('when a scope ends, its fields are kept as JSON, and its values are dropped', async (t) => {
  const user = { id: 'ada', since: new Date(0), secret: undefined, toJSON () { return { id: this.id, since: this.since } } }
  const scope = root({ tenant: { log: true }, user: { log: true }, none: { log: true } }, { tenant: 'acme', user, none: null })
  t.same(ended(scope), { reqId: 'id-1', tenant: 'acme', user: { id: 'ada', since: '1970-01-01T00:00:00.000Z' }, none: null })
  t.same(lineOf(scope).values, [])
  user.id = 'changed'
  t.match(lineOf(scope).fields, { user: { json: '{"id":"ada","since":"1970-01-01T00:00:00.000Z"}' } })
})

t.test('a field that is not JSON is dropped with its value', async (t) => {
  const ring: Record<string, unknown> = {}
  ring.self = ring
  const scope = root({ ring: { log: true }, broken: { log: true }, tenant: { log: true } }, { ring, broken: { toJSON () { throw new Error('broken') } }, tenant: 'acme' })
  t.strictSame(JSON.parse(JSON.stringify(ended(scope))), { reqId: 'id-1', tenant: 'acme' })
})

t.test('nothing is kept if no logger of the process writes the fields', async (t) => {
  const { keepLine } = await t.mockImport<typeof import('../../../lib/logging/fields.ts')>('../../../lib/logging/fields.ts')
  let calls = 0
  const scope = root({ user: { log: () => ++calls } }, { user: 'ada' })
  scope.end(keepLine)
  t.equal(calls, 0)
  t.equal(scope.line, undefined)
})

const PLACE: Trace = { traceId: '4bf92f3577b34da6a3ce929d0e0e4736', spanId: '00f067aa0ba902b7', traceFlags: 1 }
const PLACE_FIELDS = { trace_id: PLACE.traceId, span_id: PLACE.spanId, trace_flags: '01' }

t.test('log lines name the trace in which the root began, also in child scopes and after the end', async (t) => {
  const scope = root(logged, { tenant: 'acme' })
  scope.trace = PLACE
  const expected = { reqId: 'id-1', ...PLACE_FIELDS, tenant: 'acme' }
  t.same(lineOf(scope).fields, expected)
  t.equal(lineOf(scope), lineOf(scope))
  t.same(lineOf(new Scope(definition, scope.registration, scope)).fields, expected)
  t.same(ended(scope), expected)
})

/** A tracer whose active span the test sets, and the attributes that it received. */
function tracer (attributes: Record<string, string> = {}): Tracing & { active: Trace | undefined, readonly told: unknown[] } {
  return {
    active: undefined,
    told: [],
    attributes: new Map(Object.entries(attributes)),
    current () { return this.active },
    requestSpan: () => undefined,
    withParent: (_place, fn) => fn(),
    setAttribute (...told) { this.told.push(told) }
  }
}

/** The root of a context with a tracer. */
function traced (tracing: Tracing): Scope {
  const policy = readKeys({ ...logged, failing: { log: () => { throw new Error('private') } } })
  const scope = new Scope(definition, new ContextDefinition(policy, { trace: tracing }).registration)
  scope.store.requestId = 'id-1'
  return scope
}

t.test('with a tracer the fields name the active span, and are rebuilt when it changes', async (t) => {
  const tracing = tracer()
  const scope = traced(tracing)
  t.same(lineOf(scope).fields, { reqId: 'id-1' })
  tracing.active = PLACE
  const line = lineOf(scope)
  t.same(line.fields, { reqId: 'id-1', ...PLACE_FIELDS })
  t.equal(lineOf(scope), line)
  tracing.active = { ...PLACE, spanId: 'ffffffffffffffff' }
  t.same(lineOf(scope).fields, { reqId: 'id-1', ...PLACE_FIELDS, span_id: 'ffffffffffffffff' })
  tracing.active = undefined
  t.same(lineOf(scope).fields, { reqId: 'id-1' })
})

t.test('attributeWriter returns nothing if no key is an attribute', async (t) => {
  t.equal(attributeWriter(undefined), undefined)
  t.equal(attributeWriter(tracer()), undefined)
})

t.test('attributeWriter sets the attributes of the root\'s span to the values of the log fields', async (t) => {
  const tracing = tracer({ tenant: 'app.tenant', user: 'app.user', failing: 'app.failing' })
  const scope = traced(tracing)
  scope.write('tenant', 'early')
  t.same(tracing.told, [], 'before there is a span')
  tracing.active = PLACE
  openJobTrace(scope)
  scope.write('tenant', 'acme')
  scope.write('user', { id: 'ada' })
  scope.write('token', 'hush')
  scope.write('failing', 1)
  new Scope(definition, scope.registration, scope).write('tenant', 'globex')
  scope.end(() => {})
  t.same(tracing.told, [[PLACE, 'app.tenant', 'acme'], [PLACE, 'app.user', 'ada'], [PLACE, 'app.failing', undefined]])
})

t.test('fieldOf returns the log field of a key', async (t) => {
  const scope = root(logged, { tenant: 'acme', user: { id: 'ada' } })
  t.same([fieldOf(scope, 'tenant'), fieldOf(scope, 'user'), fieldOf(root(logged), 'user')], ['acme', 'ada', undefined])
})

t.test('a scope used after its function settled keeps its fields up to date', async (t) => {
  const scope = root(logged, { tenant: 'acme' })
  const child = new Scope(definition, scope.registration, scope)
  child.write('user', { id: 'ada' })
  child.settle()
  t.ok(child.unlinked)
  scope.write('tenant', 'globex')
  t.same(lineOf(child).fields, { reqId: 'id-1', tenant: 'globex', user: 'ada' })
})

t.test('an impersonation logs the actor\'s logged keys and the reason', async (t) => {
  const scope = root(logged, { tenant: 'acme', user: { id: 'eve' } })
  const impersonate = (actors: Record<string, unknown>): object => {
    const child = new Scope(definition, scope.registration, scope)
    child.state().impersonation = { actors: new Map(Object.entries(actors)), reason: 'ticket' }
    return lineOf(child).fields
  }
  t.same(impersonate({ tenant: 'admins', user: { id: 'ada' } }), { reqId: 'id-1', tenant: 'acme', user: 'eve', actor: { tenant: 'admins', user: 'ada' }, reason: 'ticket' })
  t.same(impersonate({ token: 'hush' }), { reqId: 'id-1', tenant: 'acme', user: 'eve', reason: 'ticket' })
})
