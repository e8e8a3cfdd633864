import t from 'tap'
import { ContextDefinition } from '../../../lib/lifecycle/context-definition.ts'
import { readKeys } from '../../../lib/config/key-policies.ts'
import { Scope, type Lifetime } from '../../../lib/scope/scope.ts'
import { contains, impersonationOf, isOfRequest, scopeOf } from '../../../lib/scope/lookup.ts'

const { registration } = new ContextDefinition(readKeys({ tenant: {} }))
const definition = {}

t.test('scopeOf returns the innermost scope of one context, searching outwards from a scope', async (t) => {
  const other = {}
  const outer = new Scope(definition, registration)
  const inner = new Scope(other, registration, undefined, outer)
  t.equal(scopeOf(definition, inner), outer)
  t.equal(scopeOf(other, inner), inner)
  t.equal(scopeOf({}, inner), undefined)
  t.equal(scopeOf(definition, undefined), undefined)
})

t.test('isOfRequest is true for the scope of the same lifetime, in each context, and for no other', async (t) => {
  const lifetime = {} as Lifetime
  const scope = new Scope(definition, registration, undefined, undefined, lifetime)
  const inner = new Scope({}, registration, undefined, scope, lifetime)
  Object.assign(lifetime, { scope: inner })
  t.same([scope, inner].map(isOfRequest), [true, true])
  t.equal(isOfRequest(new Scope(definition, registration, undefined, undefined, lifetime)), false, 'a copy for detached work')
  t.equal(isOfRequest(new Scope(definition, registration)), false, 'a job')
})

t.test('impersonationOf returns the innermost impersonation around a scope', async (t) => {
  const root = new Scope(definition, registration)
  const scope = new Scope(definition, registration, root)
  t.equal(impersonationOf(scope), undefined)
  const impersonation = { actors: new Map(), reason: 'ticket' }
  root.state().impersonation = impersonation
  t.equal(impersonationOf(scope), impersonation)
})

t.test('contains is true for the scope itself and for scopes opened inside it, across contexts', async (t) => {
  const scope = new Scope(definition, registration)
  const other = new Scope({}, registration, undefined, new Scope(definition, registration, scope))
  const inner = new Scope({}, registration, other)
  t.same([contains(scope, scope), contains(scope, inner), contains(inner, scope), contains(scope, undefined), contains(scope, new Scope(definition, registration))], [true, true, false, false, false])
})
