import t from 'tap'
import { Context } from '../../../lib/api/context.ts'
import { requestContextOf, type RequestContext } from '../../../lib/api/request-context.ts'
import { readKeys } from '../../../lib/config/key-policies.ts'
import { ContextDefinition } from '../../../lib/lifecycle/context-definition.ts'
import { Scope, type Lifetime } from '../../../lib/scope/scope.ts'
import { enter } from '../../../lib/scope/storage.ts'

interface Values { readonly requestId: string, readonly tenant: string, readonly 'x-user': string }

type Access = RequestContext<Values>

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

/** The root scope of a request. */
function scopeOf (definition: ContextDefinition, values: Record<string, unknown>): Scope {
  const lifetime = { phase: 'handler', aborted: false, defer: () => false } as unknown as Mutable<Lifetime>
  lifetime.scope = new Scope(definition, definition.registration, undefined, undefined, lifetime)
  lifetime.innermost = lifetime.scope
  Object.assign(lifetime.scope.store, { requestId: 'id-1' }, values)
  return lifetime.scope
}

const keys = readKeys({ tenant: {}, 'x-user': {} })

for (const open of [false, true]) {
  t.test(`request.ctx, ${open ? 'if any name may be a key' : 'with the keys of its context'}`, async (t) => {
    const definition = open ? new ContextDefinition() : new ContextDefinition(keys)
    const ctx = new Context<Values>(definition)
    const make = requestContextOf(definition, keys.names, open) as (root: Scope | undefined) => Access
    const scope = scopeOf(definition, { tenant: 'acme' })
    const access = make(scope)

    t.test('each key is a property', async (t) => {
      t.equal(access.tenant, 'acme')
      t.equal(access['x-user'], undefined)
      access['x-user'] = 'ada'
      t.equal(access['x-user'], 'ada')
      t.equal(access.get('x-user'), 'ada')
      t.equal(access.requestId, 'id-1')
      t.throws(() => { (access as { requestId: string }).requestId = 'x' }, TypeError)
    })

    t.test('acts on its own request outside any scope and inside the scope of another request', async (t) => {
      const other = scopeOf(definition, { tenant: 'other' })
      t.equal(enter(other.store, () => access.tenant), 'acme')
      t.equal(enter(other.store, () => ctx.get('tenant')), 'other')
      enter(other.store, () => { access.set('x-user', 'eve') })
      t.equal(access['x-user'], 'eve')
      t.equal(make(other)['x-user'], undefined)
      t.equal(enter(other.store, () => access.run({}, () => ctx.get('tenant'))), 'acme')
      t.equal(enter(other.store, access.bind(() => ctx.get('tenant'))), 'acme')
    })

    t.test('acts on the innermost scope of its request', async (t) => {
      access.run({ tenant: 'inner' }, () => {
        t.equal(access.tenant, 'inner')
        access.tenant = 'set'
        t.equal(ctx.get('tenant'), 'set')
      })
      t.equal(access.tenant, 'acme')
    })

    t.test('reads and writes nothing in a request without a scope', async (t) => {
      const none = make(undefined)
      t.equal(enter(scope.store, () => none.tenant), undefined)
      t.equal(none.has('tenant'), false)
      t.throws(() => { none.tenant = 'x' }, { code: 'FST_CTX_NO_SCOPE' })
      t.throws(() => none.requestId, { code: 'FST_CTX_NO_SCOPE' })
    })

    t.test('can be inspected and compared like any object', async (t) => {
      t.doesNotThrow(() => JSON.stringify(access))
      t.match(Object.prototype.toString.call(access), /^\[object /)
      t.equal(typeof access.toString, 'function')
      t.ok('tenant' in access)
      t.same(Object.keys(access), [])
    })

    t.test('an undeclared key', async (t) => {
      const loose = access as unknown as Record<PropertyKey, unknown>
      t.equal(loose.basket, undefined)
      t.throws(() => { loose[Symbol('x')] = 1 }, TypeError)
      if (open) {
        loose.basket = ['apple']
        t.same(loose.basket, ['apple'])
        t.same(access.get('basket' as never), ['apple'])
        t.throws(() => { (access as { toString: unknown }).toString = 'x' }, { code: 'FST_CTX_INVALID_KEY' })
      } else {
        t.throws(() => { loose.basket = ['apple'] }, TypeError)
      }
    })
  })
}
