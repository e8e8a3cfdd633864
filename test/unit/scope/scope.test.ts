import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { Owner } from '../../../lib/lifecycle/context-definition.ts'
import { readKeys } from '../../../lib/config/key-policies.ts'
import { Scope, scopeOfStore, type Life, type Registration } from '../../../lib/scope/scope.ts'

const registration: Registration = new Owner(readKeys({ tenant: {} })).registration
const owner = {}

/** The root of a request. */
function request (): Scope {
  const life = {} as Life
  const scope = new Scope(owner, registration, undefined, undefined, life)
  life.scope = scope
  return scope
}

const child = (parent: Scope): Scope => new Scope(owner, registration, parent)

t.test('a child reads what its parent has, now and later, unless it has its own', async (t) => {
  const parent = request()
  const scope = child(parent)
  const deep = child(scope)
  for (const tenant of ['acme', 'other', undefined, 'third']) {
    parent.write('tenant', tenant)
    t.same([scope.store.tenant, deep.store.tenant, child(deep).store.tenant], [tenant, tenant, tenant])
  }
  scope.write('tenant', 'inner')
  t.equal(deep.store.tenant, 'inner', 'the scopes below see it')
  parent.write('tenant', 'last')
  t.same([scope.store.tenant, deep.store.tenant], ['inner', 'inner'])
  t.equal(parent.store.tenant, 'last', 'what it writes stays inside')
  const hiding = child(parent)
  hiding.write('tenant', undefined)
  parent.write('tenant', 'again')
  t.equal(hiding.store.tenant, undefined)
})

t.test('what somebody wrote to the store of a child itself is its own, too', async (t) => {
  const parent = request()
  parent.write('tenant', 'acme')
  const scope = child(parent)
  scope.store.tenant = 'inner'
  parent.write('tenant', 'last')
  t.equal(scope.store.tenant, 'inner')
})

t.test('owns: whether a key was given its value in a scope, not around it', async (t) => {
  const parent = request()
  parent.write('tenant', 'acme')
  const scope = child(parent)
  t.same([parent.owns('tenant'), scope.owns('tenant')], [true, false])
  scope.write('tenant', undefined)
  t.equal(scope.owns('tenant'), true)
  t.equal(parent.owns('user'), false)
})

t.test('a child of a scope with locked keys has them locked', async (t) => {
  const locked = new Owner(readKeys({ tenant: { locked: true } })).registration
  const parent = new Scope(owner, locked)
  parent.write('tenant', 'acme')
  const { store } = new Scope(owner, locked, parent)
  t.equal(store.tenant, 'acme')
  t.throws(() => { store.tenant = 'evil' }, TypeError)
})

t.test('all stores have one shape: reading one is as cheap as reading any', async (t) => {
  const shaped = (parent: Scope | undefined): object => new Scope(owner, registration, parent).store
  t.equal(Object.getPrototypeOf(shaped(request())), Object.getPrototypeOf(shaped(undefined)))
})

t.test('it knows its parent and its root', async (t) => {
  const root = request()
  const inner = child(root)
  const deep = child(inner)
  t.equal(root.parent, undefined)
  t.equal(inner.parent, root)
  t.equal(deep.parent, inner)
  t.equal(root.root, root)
  t.equal(deep.root, root)
})

t.test('no method of objects is taken for a value', async (t) => {
  const { store } = request()
  for (const name of ['toString', 'constructor', 'hasOwnProperty', '__proto__', 'valueOf']) t.equal(store[name], undefined, name)
  store.__proto__ = { tenant: 'evil' } // eslint-disable-line no-proto -- an attacker writes it: that is tested
  t.equal(store.tenant, undefined)
})

t.test('scopeOfStore: the scope of a store; of nothing else', async (t) => {
  const scope = child(request())
  t.equal(scopeOfStore(scope.store), scope)
  t.equal(scopeOfStore(undefined), undefined)
  t.equal(scopeOfStore({ tenant: 'of @fastify/request-context' }), undefined)
})

t.test('end: once, the values of the scope and of all below are gone, and each is seen before', async (t) => {
  const root = request()
  root.store.tenant = 'root'
  const inner = child(root)
  inner.store.tenant = 'inner'
  const deep = child(inner)
  deep.store.tenant = 'deep'
  const seen: unknown[] = []
  const last = (scope: Scope): void => { seen.push([scope.store.tenant, scope.ended]) }
  root.end(last)
  root.end(last)
  t.same(seen.sort(), [['deep', false], ['inner', false], ['root', false]])
  for (const scope of [root, inner, deep]) {
    t.equal(scope.ended, true)
    t.equal(scope.store.tenant, undefined)
    t.equal(scopeOfStore(scope.store), scope, 'a store knows its scope, for messages')
  }
})

t.test('end reaches each child that is still held, of however many', async (t) => {
  const root = request()
  const children = Array.from({ length: 100 }, (_, i) => {
    const scope = child(root)
    scope.store.tenant = `T${i}`
    return scope
  })
  root.end(() => {})
  t.same(children.filter(({ ended, store }) => !ended || store.tenant !== undefined), [])
})

t.test('a child that nobody holds is kept by nobody', async (t) => {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc') as () => void
  const root = request()
  const seen: unknown[] = []
  const held = child(root)
  // In a function of its own, so that no register keeps the last one.
  const open = (): void => { for (let i = 0; i < 500; i++) child(root).store.tenant = i }
  for (let round = 0; round < 4; round++) {
    open()
    await new Promise((resolve) => { setImmediate(resolve) })
    gc()
  }
  root.end((scope) => { seen.push(scope) })
  t.ok(seen.length < 600, `${seen.length} of 2002 are left`)
  t.ok(seen.includes(held))
})
