import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { ContextDefinition } from '../../../lib/lifecycle/context-definition.ts'
import { deadlineOf } from '../../../lib/lifecycle/cancellation.ts'
import { impersonationOf, messageIdOf } from '../../../lib/scope/lookup.ts'
import { turns, warnings } from '../../support/support.ts'
import { readKeys } from '../../../lib/config/key-policies.ts'
import { Scope, scopeOfStore, type Lifetime, type Registration } from '../../../lib/scope/scope.ts'

const registration: Registration = new ContextDefinition(readKeys({ tenant: {} })).registration
const definition = {}

/** The root scope of a request. */
function request (): Scope {
  const lifetime = {} as Lifetime
  const scope = new Scope(definition, registration, undefined, undefined, lifetime)
  lifetime.scope = scope
  return scope
}

const child = (parent: Scope): Scope => new Scope(definition, registration, parent)

t.test('a child sees current values of its parent unless it has its own', async (t) => {
  const parent = request()
  const scope = child(parent)
  const deep = child(scope)
  for (const tenant of ['acme', 'other', undefined, 'third']) {
    parent.write('tenant', tenant)
    t.same([scope.store.tenant, deep.store.tenant, child(deep).store.tenant], [tenant, tenant, tenant])
  }
  scope.write('tenant', 'inner')
  t.equal(deep.store.tenant, 'inner', 'child scopes see it')
  parent.write('tenant', 'last')
  t.same([scope.store.tenant, deep.store.tenant], ['inner', 'inner'])
  t.equal(parent.store.tenant, 'last', 'its own writes stay inside')
  const hiding = child(parent)
  hiding.write('tenant', undefined)
  parent.write('tenant', 'again')
  t.equal(hiding.store.tenant, undefined)
})

t.test('a value written to the store of a child directly also counts as its own', async (t) => {
  const parent = request()
  parent.write('tenant', 'acme')
  const scope = child(parent)
  scope.store.tenant = 'inner'
  parent.write('tenant', 'last')
  t.equal(scope.store.tenant, 'inner')
})

t.test('owns: true if the key got its value in this scope, false if in an enclosing one', async (t) => {
  const parent = request()
  parent.write('tenant', 'acme')
  const scope = child(parent)
  t.same([parent.owns('tenant'), scope.owns('tenant')], [true, false])
  scope.write('tenant', undefined)
  t.equal(scope.owns('tenant'), true)
  t.equal(parent.owns('user'), false)
})

t.test('a child of a scope with locked keys has them locked', async (t) => {
  const locked = new ContextDefinition(readKeys({ tenant: { locked: true } })).registration
  const parent = new Scope(definition, locked)
  parent.write('tenant', 'acme')
  const { store } = new Scope(definition, locked, parent)
  t.equal(store.tenant, 'acme')
  t.throws(() => { store.tenant = 'evil' }, TypeError)
})

t.test('all stores have the same shape, so reads are equally fast', async (t) => {
  const shaped = (parent: Scope | undefined): object => new Scope(definition, registration, parent).store
  t.equal(Object.getPrototypeOf(shaped(request())), Object.getPrototypeOf(shaped(undefined)))
})

t.test('a scope references its parent and its root', async (t) => {
  const root = request()
  const inner = child(root)
  const deep = child(inner)
  t.equal(root.parent, undefined)
  t.equal(inner.parent, root)
  t.equal(deep.parent, inner)
  t.equal(root.root, root)
  t.equal(deep.root, root)
})

t.test('methods of Object.prototype are not values', async (t) => {
  const { store } = request()
  for (const name of ['toString', 'constructor', 'hasOwnProperty', '__proto__', 'valueOf']) t.equal(store[name], undefined, name)
  store.__proto__ = { tenant: 'evil' } // eslint-disable-line no-proto -- the test covers an attacker who writes it
  t.equal(store.tenant, undefined)
})

t.test('scopeOfStore returns the scope of a store, and undefined for anything else', async (t) => {
  const scope = child(request())
  t.equal(scopeOfStore(scope.store), scope)
  t.equal(scopeOfStore(undefined), undefined)
  t.equal(scopeOfStore({ tenant: 'of @fastify/request-context' }), undefined)
})

t.test('end runs once, passes each scope to its callback and then drops the values of the scope and its children', async (t) => {
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
    t.equal(scopeOfStore(scope.store), scope, 'a store still references its scope, for error messages')
  }
})

t.test('end reaches every child that is still referenced, among any number', async (t) => {
  const root = request()
  const children = Array.from({ length: 100 }, (_, i) => {
    const scope = child(root)
    scope.store.tenant = `T${i}`
    return scope
  })
  root.end(() => {})
  t.same(children.filter(({ ended, store }) => !ended || store.tenant !== undefined), [])
})

t.test('nothing keeps a child whose function has settled in memory', async (t) => {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc') as () => void
  const root = request()
  const seen: unknown[] = []
  const held = child(root)
  // In its own function, so that no register keeps the last scope.
  const open = (): void => {
    for (let i = 0; i < 500; i++) {
      const scope = child(root)
      scope.store.tenant = i
      scope.settle()
      if (i % 2 === 0) scope.refresh()
    }
  }
  for (let round = 0; round < 4; round++) {
    open()
    await new Promise((resolve) => { setImmediate(resolve) })
    gc()
  }
  root.end((scope) => { seen.push(scope) })
  t.ok(seen.length < 600, `${seen.length} of 2002 are left`)
  t.ok(seen.includes(held))
})

t.test('a scope used after its function has settled', async (t) => {
  t.test('reads what its parents set since, unless it has its own value', async (t) => {
    const root = request()
    const middle = child(root)
    const scope = child(middle)
    scope.write('user', 'own')
    scope.store.raw = 'raw'
    scope.settle()
    middle.settle()
    for (const name of ['tenant', 'user', 'raw']) root.write(name, 'late')
    t.equal(scope.store.tenant, undefined, 'nothing is copied down to it')
    scope.refresh()
    scope.refresh()
    t.same([scope.store.tenant, scope.store.user, scope.store.raw], ['late', 'own', 'raw'])
    const before = scope.version
    root.write('tenant', 'later')
    scope.write('step', 1)
    t.same([scope.store.tenant, scope.store.step, root.store.step], ['later', 1, undefined])
    t.ok(scope.version > before + 1, 'memoized results belong to other values')
    scope.refresh()
    t.equal(scope.store.step, 1)
  })

  t.test('passes values set in it and around it to the scopes opened in it', async (t) => {
    const root = request()
    const middle = child(root)
    const scope = child(middle)
    middle.settle()
    root.write('tenant', 'a')
    t.equal(scope.store.tenant, 'a', 'it is open, so its enclosing scope is kept')
    scope.settle()
    root.write('tenant', 'b')
    const inner = child(scope)
    t.equal(inner.store.tenant, 'b')
    root.write('tenant', 'c')
    t.equal(inner.store.tenant, 'c')
    scope.write('tenant', 'd')
    t.same([inner.store.tenant, middle.store.tenant], ['d', 'c'])
    inner.settle()
    root.write('user', 'late')
    t.equal(inner.store.user, undefined)
  })

  t.test('loses its values when the request ends, used or not; with very many, on its next use', async (t) => {
    const root = request()
    root.write('tenant', 'acme')
    const used = child(root)
    const many = Array.from({ length: 5000 }, () => child(root))
    const [found, unused, last] = [many[4000]!, many[4500]!, child(root)]
    for (const scope of [...many, used, last]) scope.settle()
    used.refresh()
    const seen = new Set<unknown>()
    root.end((scope) => { seen.add(scope.store.tenant === 'acme' && scope) })
    t.same([seen.has(root), seen.has(used), seen.has(last), seen.has(false)], [true, true, true, false])
    t.same([used.store.tenant, used.ended, last.store.tenant, last.ended], [undefined, true, undefined, true])
    t.same([found.store.tenant, found.ended, unused.ended, many[0]!.ended], [undefined, true, false, false])
    const { size } = seen
    t.ok(size > 1000, `${size} of 5,003`)
    unused.refresh()
    t.same([unused.store.tenant, unused.ended, seen.size], [undefined, true, size + 1])
    unused.write('tenant', 'late')
    const late = child(unused)
    late.settle()
    t.equal(late.unlinked, false)
  })

  t.test('a root does not settle', async (t) => {
    const root = request()
    root.settle()
    t.equal(root.unlinked, false)
  })
})

t.test('a loop that opens each scope inside the last one keeps only some of them in memory', async (t) => {
  const levels = (scope: Scope): number => {
    let count = 0
    for (let from = scope.parent; from !== undefined; from = from.parent) count++
    return count
  }
  const start = (root: Scope): Scope => {
    const first = child(root)
    first.write('step', 0)
    first.write('first', 'kept')
    first.state().impersonation = { actors: new Map([['user', 'ada']]), reason: 'ticket 4711' }
    first.state().cancellation = { deadline: 4711, controller: undefined, followers: undefined, release: undefined }
    return first
  }
  for (const settles of ['before the next is open', 'after']) {
    t.test(`each scope settles ${settles}`, async (t) => {
      const root = request()
      let scope = start(root)
      for (let i = 1; i <= 1000; i++) {
        if (settles !== 'after') scope.settle()
        const next = child(scope)
        next.write('step', i)
        if (settles === 'after') scope.settle()
        scope = next
      }
      t.ok(levels(scope) <= 17, `${levels(scope)} levels`)
      root.write('step', 'root')
      root.write('first', 'root')
      root.write('tenant', 'root')
      t.same([scope.store.step, scope.store.first, scope.store.tenant], [1000, 'kept', 'root'])
      t.equal(impersonationOf(scope)?.reason, 'ticket 4711')
      t.equal(deadlineOf(scope), 4711)
      scope.settle()
      const held: Scope[] = []
      root.end((ended) => { held.push(ended) })
      t.ok(held.length <= 18, `${held.length} scopes are in memory`)
    })
  }
})

t.test('scopes that settle from the outside in: the innermost child is reattached to the open scope with all its values', async (t) => {
  for (const many of [0, 200]) {
    const root = request()
    const around = child(root)
    const others = Array.from({ length: many }, () => child(root))
    const chain = [child(around)]
    chain[0]!.write('first', 'kept')
    chain[0]!.state().impersonation = { actors: new Map(), reason: 'ticket 4711' }
    chain[0]!.state().messageId = 'm-1'
    chain[0]!.state().cancellation = { deadline: 4711, controller: undefined, followers: undefined, release: undefined }
    while (chain.length < 40) chain.push(child(chain.at(-1)!))
    const last = child(chain.at(-1)!)
    // A write does not reach one of very many open scopes until that scope is used.
    for (let i = 0; i < 100; i++) root.write('tenant', `of write ${i}`)
    t.equal(around.unlinked, many > 0)
    for (const scope of chain) scope.settle()
    const next = child(last)
    for (const scope of [last, next]) {
      scope.refresh()
      t.same([scope.store.first, scope.store.tenant], ['kept', 'of write 99'], `beside ${others.length} others`)
      t.equal(messageIdOf(scope), 'm-1')
      t.equal(impersonationOf(scope)?.reason, 'ticket 4711')
      t.equal(deadlineOf(scope), 4711)
    }
    let levels = 0
    for (let scope = next.parent; scope !== undefined; scope = scope.parent) levels++
    t.ok(many > 0 || levels < 25, `${levels} of 43 levels are left`)
    around.write('tenant', 'around')
    next.refresh()
    t.equal(next.store.tenant, 'around')
    root.end(() => {})
    for (const scope of [last, next]) {
      scope.refresh()
      t.same([scope.ended, scope.store.tenant], [true, undefined])
    }
  }
})

t.test('scopes that settle from the inside out: a child that is still open is reattached when the innermost one settles', async (t) => {
  const root = request()
  const chain = [child(root)]
  chain[0]!.write('first', 'kept')
  while (chain.length < 40) chain.push(child(chain.at(-1)!))
  const last = child(chain.at(-1)!)
  const next = child(last)
  for (const scope of [...chain].reverse()) scope.settle()
  last.settle()
  t.equal(next.parent, root)
  root.write('tenant', 'acme')
  t.same([next.store.first, next.store.tenant], ['kept', 'acme'])
})

t.test('a child opened within settled scopes is reattached to an open scope that writes had skipped', async (t) => {
  const root = request()
  const around = child(root)
  const others = Array.from({ length: 200 }, () => child(root))
  const chain = [child(around)]
  chain[0]!.write('first', 'kept')
  // Of so many settled scopes in a row the next child is reattached.
  while (chain.length < 16) chain.push(child(chain.at(-1)!))
  for (const scope of chain) scope.settle()
  for (let i = 0; i < 100; i++) root.write('tenant', `of write ${i}`)
  t.equal(around.unlinked, true, `it is one of ${others.length + 1}`)
  const next = child(chain.at(-1)!)
  t.equal(around.unlinked, false)
  t.same([next.store.first, next.store.tenant], ['kept', 'of write 99'])
  around.write('tenant', 'around')
  t.equal(next.store.tenant, 'around')
})

for (const depth of [1, 1000, 5000, 50_000]) {
  t.test(`with ${depth} nested scopes a write reaches the innermost one, and all of them end`, async (t) => {
    const root = request()
    let scope = root
    for (let i = 0; i < depth; i++) scope = child(scope)
    root.write('tenant', 'acme')
    t.equal(scope.store.tenant, 'acme')
    root.end(() => {})
    t.same([scope.ended, scope.store.tenant], [true, undefined])
  })
}

t.test('an error thrown while a scope ends is a warning, and all scopes end', async (t) => {
  const told = warnings(t, 'FST_CTX_BACKGROUND')
  const root = request()
  const scopes = [child(root), child(root)]
  root.end((scope) => { if (scope === scopes[0]) throw new Error('a getter of a user') })
  t.same([root, ...scopes].map(({ ended }) => ended), [true, true, true])
  await turns()
  t.match(told, [{ message: /the end of a scope failed/, detail: /a getter of a user/ }])
})

t.test('with very many open children, each sees an outer write on its next use, and the write does not visit them all', async (t) => {
  const root = request()
  const children = Array.from({ length: 200 }, () => child(root))
  const grandchild = child(children[0]!)
  children[1]!.write('tenant', 'own')
  for (let i = 0; i < 100; i++) root.write('tenant', `of write ${i}`)
  t.equal(children.reduce((sum, { version }) => sum + version, 0), 1, 'each child was written only by itself')
  for (const scope of [...children, grandchild]) scope.refresh()
  t.same([...new Set(children.map(({ store }) => store.tenant))], ['of write 99', 'own'])
  t.equal(grandchild.store.tenant, 'of write 99')

  const opened = child(children[2]!)
  root.write('tenant', 'later')
  t.equal(opened.store.tenant, 'later', 'scopes opened in one of them see it at once')
  children[3]!.settle()
  root.write('tenant', 'last')
  children[3]!.refresh()
  t.equal(children[3]!.store.tenant, 'last')

  root.end(() => {})
  for (const scope of [...children, grandchild, opened]) scope.refresh()
  t.same([...children, grandchild, opened].filter(({ store }) => store.tenant !== undefined), [])
})

t.test('what 50,000 runs leave behind costs nothing: a write reaches no scope but its own', async (t) => {
  for (const root of [request(), new Scope(definition, registration)]) {
    const kept: Scope[] = []
    for (let i = 0; i < 50_000; i++) {
      const scope = child(root)
      const inner = child(scope)
      inner.settle()
      scope.settle()
      if (i % 1000 === 0) kept.push(scope, inner)
    }
    t.same([...root.below()], [])
    root.write('tenant', 'acme')
    t.equal(kept.reduce((sum, { version }) => sum + version, 0), 0, 'those that something keeps are not visited')
    for (const scope of kept) scope.refresh()
    t.same([...new Set(kept.map(({ store }) => store.tenant))], ['acme'], 'and see the value when they are used')
  }
})
