import t from 'tap'
import { readKeys } from '../../../lib/config/key-policies.ts'
import { ContextDefinition } from '../../../lib/lifecycle/context-definition.ts'
import { Scope } from '../../../lib/scope/scope.ts'
import { sharedStore, storeFor, unitOf } from '../../../lib/scope/unit.ts'

const definition = new ContextDefinition(readKeys({ tenant: {}, connection: { detach: false } }))
const other = new ContextDefinition(readKeys({ shard: {} }))

function open (parent?: Scope, values: Record<string, unknown> = {}, enclosing?: Scope, of = definition): Scope {
  const scope = new Scope(of, of.registration, parent, enclosing)
  for (const [name, value] of Object.entries(values)) scope.write(name, value)
  return scope
}

t.test('unitOf returns the root, or the innermost impersonation or message', async (t) => {
  const root = open()
  const run = open(root)
  const acting = open(run)
  acting.state().impersonation = { actors: new Map(), reason: 'r' }
  t.equal(unitOf(root), root)
  t.equal(unitOf(run), root)
  t.equal(unitOf(acting), acting)
  t.equal(unitOf(open(open(acting))), acting)
  const message = open(acting)
  message.state().messageId = 'm-1'
  t.equal(unitOf(open(message)), message)
})

t.test('sharedStore returns the outermost store with the same values, except keys with detach: false', async (t) => {
  const root = open(undefined, { tenant: 'acme' })
  const transaction = open(root, { connection: {} })
  t.equal(sharedStore(definition, root.store), root.store)
  t.equal(sharedStore(definition, transaction.store), root.store)
  t.equal(sharedStore(definition, open(transaction, { tenant: 'acme' }).store), root.store, 'the same value, set again')
  const globex = open(transaction, { tenant: 'globex' })
  const within = open(globex, { connection: {} })
  t.equal(sharedStore(definition, globex.store), globex.store)
  t.equal(sharedStore(definition, within.store), globex.store)
  t.equal(sharedStore(definition, open(globex, { tenant: 'acme' }).store)?.tenant, 'acme')
  t.not(sharedStore(definition, open(globex, { tenant: 'acme' }).store), root.store, 'not beyond a scope with other values')
  t.equal(sharedStore(definition, open(root, { tenant: undefined }).store)?.tenant, undefined, 'a hidden value is another value')
  const byHand = open(root)
  root.store.tenant = 'written by hand'
  t.equal(sharedStore(definition, byHand.store), byHand.store)
})

t.test('sharedStore does not go beyond an impersonation, even if it changes nothing', async (t) => {
  const root = open(undefined, { tenant: 'acme' })
  const acting = open(root)
  acting.state().impersonation = { actors: new Map(), reason: 'r' }
  t.equal(sharedStore(definition, open(acting, { connection: {} }).store), acting.store)
})

t.test('sharedStore also compares values of other contexts', async (t) => {
  const root = open(undefined, { tenant: 'acme' })
  const shard = open(undefined, { shard: 's-1' }, root, other)
  const run = open(root, {}, shard)
  t.equal(sharedStore(definition, run.store), run.store, 'the root does not see the shard')
  t.equal(sharedStore(definition, shard.store), shard.store)
  t.equal(sharedStore(definition, undefined), undefined)
  t.equal(sharedStore(other, root.store), root.store, 'there is no scope of that context')
})

t.test('storeFor returns the store of the scope in a job', async (t) => {
  const root = open()
  t.equal(storeFor(root), root.store)
  t.equal(storeFor(open(root)).tenant, undefined)
})
