import { inspect } from 'node:util'
import t from 'tap'
import { createContext, key } from '../../../lib/index.ts'
import { currentStore } from '../../../lib/scope/storage.ts'
import { namesIn, Stores } from '../../../lib/scope/stores.ts'

const NAMES = Array.from({ length: 20 }, (_, i) => `key${i}`)

type Values = Record<string, unknown>

/** Stores with this many keys, opened after a root was given a value for each. */
function stores (count: number, locked: readonly string[] = []): Stores {
  const names = NAMES.slice(0, count)
  const made = new Stores({ names: new Set(names), seeds: [], locked: new Set(locked) })
  made.expect(count)
  return made
}

for (const count of [3, 20]) {
  t.test(`with ${count} keys`, async (t) => {
    const names = NAMES.slice(0, count)
    const all = stores(count)
    const { shape } = all

    t.test('a store reads the values of its parent, and each has its own scope', async (t) => {
      const scopes = [{}, {}]
      const root = shape.open(scopes[0]!) as Values
      for (const name of names) all.put(root, name, `of ${name}`)
      all.put(root, 'undeclared', 'too')
      const below = shape.below(scopes[1]!, root) as Values
      t.same({ ...below }, { ...root, ...below })
      for (const name of names) t.equal(below[name], `of ${name}`)
      t.equal(below.undeclared, 'too')
      const ofScope = (store: object): unknown => Object.getOwnPropertySymbols(store).map((symbol) => (store as Record<symbol, unknown>)[symbol])
      t.same([ofScope(root), ofScope(below)], [[scopes[0]], [scopes[1]]])
      below.key0 = 'changed'
      t.equal(root.key0, 'of key0')
    })

    t.test('a store inherits nothing that could count as a value', async (t) => {
      const store = shape.below({}, shape.open({})) as Values
      for (const name of ['toString', 'constructor', 'hasOwnProperty', '__proto__', 'valueOf']) t.equal(store[name], undefined, name)
      store.__proto__ = { key1: 'evil' } // eslint-disable-line no-proto -- the test covers an attacker who writes it
      t.equal(store.key1, undefined)
      t.throws(() => { Object.getPrototypeOf(store).key1 = 'evil' }, TypeError)
    })

    t.test('a store is printed with the names of its keys, without values', async (t) => {
      const store = shape.open({})
      all.put(store, 'key1', 'a secret')
      t.equal(inspect(store), 'Store { key1 }')
      t.equal(namesIn(store), 'key1')
    })
  })
}

t.test('only a root with many values changes how stores are created, and only without locked keys', async (t) => {
  const few = stores(3)
  const { shape } = few
  few.expect(12)
  t.equal(few.shape, shape)
  few.expect(13)
  t.not(few.shape, shape)
  const many = few.shape
  few.expect(13)
  t.equal(few.shape, many)
  const locked = stores(20, ['key0'])
  const root = locked.shape.open({})
  for (const name of NAMES) locked.put(root, name, name)
  const below = locked.shape.below({}, root) as Values
  t.throws(() => { below.key0 = 'evil' }, TypeError)
  t.equal(below.key0, 'key0')
})

t.test('seeds count: the first request of a context with many keys has a slot for each key', async (t) => {
  const seeds = NAMES.map((name) => ({ name, seed: () => name }))
  const { shape } = new Stores({ names: new Set(NAMES), seeds, locked: new Set() })
  t.same(Object.keys(shape.open({})), ['requestId', ...NAMES])
})

t.test('a context with many keys: runs read, shadow and keep values written around them and directly to their store', async (t) => {
  const ctx = createContext(Object.fromEntries(NAMES.map((name) => [name, key<string>()])))
  const values = Object.fromEntries(NAMES.map((name) => [name, `outer ${name}`]))
  for (let i = 0; i < 2; i++) {
    await ctx.run(values, async () => {
      let late = (): unknown => undefined
      ctx.run({ key1: 'inner' }, () => {
        t.same(NAMES.map((name) => ctx.get(name)), NAMES.map((name) => name === 'key1' ? 'inner' : `outer ${name}`))
        const store = currentStore()!
        store.key2 = 'by hand'
        late = ctx.bind(() => {
          store.key3 = 'late, by hand'
          return NAMES.slice(0, 5).map((name) => ctx.get(name))
        })
      })
      for (const name of NAMES) ctx.set(name, `new ${name}`)
      t.same(late(), ['new key0', 'inner', 'by hand', 'late, by hand', 'new key4'])
      for (const name of NAMES) ctx.set(name, `newer ${name}`)
      t.same(late(), ['newer key0', 'inner', 'by hand', 'late, by hand', 'newer key4'])
      t.equal(ctx.get('key1'), 'newer key1')
    })
  }
})
