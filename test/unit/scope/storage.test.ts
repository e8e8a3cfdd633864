import { asyncLocalStorage } from '@fastify/request-context'
import t from 'tap'
import { ContextDefinition } from '../../../lib/lifecycle/context-definition.ts'
import { readKeys } from '../../../lib/config/key-policies.ts'
import { Scope, type Registration, type Store } from '../../../lib/scope/scope.ts'
import { bound, currentScope, currentStore, enter } from '../../../lib/scope/storage.ts'
import { gate, turns } from '../../support/support.ts'

const registration: Registration = new ContextDefinition(readKeys({})).registration
const scopeA = new Scope({}, registration)
const scopeB = new Scope({}, registration)
const a = scopeA.store
const b = scopeB.store

t.test('the storage is the one of @fastify/request-context', async (t) => {
  enter(a, () => { t.equal(asyncLocalStorage.getStore(), a) })
  asyncLocalStorage.run(b as never, () => { t.equal(currentStore(), b) })
})

t.test('enter makes a store current in its function, also after an await, and restores the previous one, also after a throw', async (t) => {
  const seen: Array<Store | undefined> = []
  const look = (): void => { seen.push(currentStore()) }
  const { promise, open } = gate()
  const later = enter(a, async () => {
    look()
    enter(b, look)
    look()
    t.throws(() => enter(b, () => { throw new Error('within') }), { message: 'within' })
    look()
    await promise
    look()
    enter(undefined, look)
    look()
  })
  look()
  open()
  await later
  look()
  t.same(seen.map((store) => store === a ? 'a' : store === b ? 'b' : store), ['a', 'b', 'a', 'a', undefined, 'a', undefined, 'a', undefined])
})

t.test('enter passes the arguments and returns the result, whether the store is already current or not', async (t) => {
  const add = (x: number, y: number): number => x + y
  t.equal(enter(a, add, 1, 2), 3)
  t.equal(enter(a, () => enter(a, add, 3, 4)), 7)
  t.equal(enter(undefined, add, 5, 6), 11)
})

t.test('bound runs a function in its store with the caller\'s this and arguments', async (t) => {
  class Counter {
    count = 1
    add = bound(a, function (this: Counter, more: number) { return [this.count + more, currentStore() === a] })
  }
  const counter = new Counter()
  t.same(counter.add(1), [2, true])
  t.same(enter(a, () => counter.add(2)), [3, true])
  t.same(enter(b, () => counter.add(3)), [4, true])
  t.equal(enter(a, bound(undefined, () => currentStore())), undefined, 'also outside any store')
})

t.test('currentScope returns the scope of the current store, and undefined for a foreign store', async (t) => {
  t.equal(currentScope(), undefined)
  t.equal(enter(a, currentScope), scopeA)
  t.equal(asyncLocalStorage.run({} as never, currentScope), undefined)
})

t.test('no store is current after enter', async (t) => {
  enter(a, () => { setImmediate(() => {}) })
  await turns()
  t.equal(currentStore(), undefined)
})
