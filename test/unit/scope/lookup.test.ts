import t from 'tap'
import { Owner } from '../../../lib/lifecycle/context-definition.ts'
import { readKeys } from '../../../lib/config/key-policies.ts'
import { Scope, type Life } from '../../../lib/scope/scope.ts'
import { contains, impersonationOf, isOfRequest, scopeOf } from '../../../lib/scope/lookup.ts'

const { registration } = new Owner(readKeys({ tenant: {} }))
const owner = {}

t.test('scopeOf: the innermost scope of one context, from a scope outwards', async (t) => {
  const other = {}
  const outer = new Scope(owner, registration)
  const inner = new Scope(other, registration, undefined, outer)
  t.equal(scopeOf(owner, inner), outer)
  t.equal(scopeOf(other, inner), inner)
  t.equal(scopeOf({}, inner), undefined)
  t.equal(scopeOf(owner, undefined), undefined)
})

t.test('isOfRequest: of the scope that its life names, in each context; of no other', async (t) => {
  const life = {} as Life
  const scope = new Scope(owner, registration, undefined, undefined, life)
  const inner = new Scope({}, registration, undefined, scope, life)
  Object.assign(life, { scope: inner })
  t.same([scope, inner].map(isOfRequest), [true, true])
  t.equal(isOfRequest(new Scope(owner, registration, undefined, undefined, life)), false, 'a copy for detached work')
  t.equal(isOfRequest(new Scope(owner, registration)), false, 'a job')
})

t.test('impersonationOf: the innermost around a scope', async (t) => {
  const root = new Scope(owner, registration)
  const scope = new Scope(owner, registration, root)
  t.equal(impersonationOf(scope), undefined)
  const impersonation = { actors: new Map(), reason: 'ticket' }
  root.use().impersonation = impersonation
  t.equal(impersonationOf(scope), impersonation)
})

t.test('contains: itself, and what was opened within, through the scopes of other contexts', async (t) => {
  const scope = new Scope(owner, registration)
  const other = new Scope({}, registration, undefined, new Scope(owner, registration, scope))
  const inner = new Scope({}, registration, other)
  t.same([contains(scope, scope), contains(scope, inner), contains(inner, scope), contains(scope, undefined), contains(scope, new Scope(owner, registration))], [true, true, false, false, false])
})
