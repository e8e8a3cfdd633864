import { createContext, runInContext, Script } from 'node:vm'
import type { Policy } from '../config/key-policies.ts'
import { showAs } from '../common/inspection.ts'
import { kScope } from '../common/symbols.ts'

/** A constant of this module, because V8 loads an imported binding on each use. */
const kOwner: typeof kScope = kScope

/** A store, as this file sees it. */
type Values = Record<PropertyKey, unknown>

/** The prototype of stores. It is empty, so a key may have any name, and no method is taken for a value. */
const bare = Object.create(null) as object
showStores(bare)

function StoreOf (this: Values, scope: object): void {
  this[kOwner] = scope
}
StoreOf.prototype = bare

/** A constructor, so that all stores have one hidden class, which makes reads fast. */
const NewStore = StoreOf as unknown as new (scope: object) => Values

/** With how many values V8 turns an object that gets them one by one into a dictionary, which is much slower. */
const MANY = 12

/** Makes the stores of a root and of the scopes below it. */
export interface Shape {
  /** Makes the store of a root. */
  open (scope: object): object
  /** Makes a store with the values of another. */
  below (scope: object, around: object): object
  /** The values of a store as they are now, where that takes less time than to compare two stores. */
  readonly snapshot: ((store: object) => object) | undefined
}

/** Of few keys: one by one. */
function fewKeys (locked: ReadonlySet<string>): Shape {
  return {
    open: (scope) => new NewStore(scope),
    below (scope, around) {
      const store = new NewStore(scope)
      const values = around as Values
      if (locked.size === 0) for (const name in values) store[name] = values[name]
      else for (const name in values) put(store, name, values[name], locked)
      return store
    },
    snapshot: undefined
  }
}

/** Makes a locked key read-only for code that writes to the store itself. */
function put (store: Values, name: string, value: unknown, locked: ReadonlySet<string>): void {
  if (locked.size === 0 || !locked.has(name)) store[name] = value
  else Object.defineProperty(store, name, { value, writable: value === undefined, enumerable: true, configurable: true })
}

/**
 * Of many keys: a copy of an object that has all of them. `{ ...store }` is the one way to copy an object that V8 does at once
 * for all of its properties, and only where the copy inherits from `Object.prototype`: with another prototype, or with none, 50
 * keys take up to 40 times as long. What others put on `Object.prototype` must not be taken for a value, though, so these
 * stores are objects of a context of `node:vm` of their own, whose `Object.prototype` is empty. It takes 2 ms and 250 kB.
 */
function manyKeys (names: Iterable<string>): Shape {
  realm ??= makeRealm()
  const copy = realm.newCopy()
  // By another function: V8 notes only four kinds of what a function copies.
  const template = realm.newCopy()({ [kOwner]: undefined, ...Object.fromEntries(['requestId', ...names].map((name) => [name, undefined])) })
  const copyFor = (scope: object, store: object): object => {
    const made = copy(store)
    made[kOwner] = scope
    return made
  }
  return { open: (scope) => copyFor(scope, template), below: copyFor, snapshot: copy }
}

interface Realm { readonly newCopy: () => (store: object) => Values }

/** Created when a context first has many values, because most never do. */
let realm: Realm | undefined

function makeRealm (): Realm {
  const context = createContext(Object.create(null))
  const prototype = runInContext('Object.prototype', context) as object
  for (const name of Reflect.ownKeys(prototype)) Reflect.deleteProperty(prototype, name)
  showStores(prototype)
  const script = new Script('(store) => ({ ...store })')
  return { newCopy: () => script.runInContext(context) as (store: object) => Values }
}

function showStores (prototype: object): void {
  showAs(prototype, (store) => `Store { ${namesIn(store)} }`)
  Object.freeze(prototype)
}

/** The names of the keys that have a value, for people. */
export function namesIn (store: object): string {
  return Object.keys(store).filter((name) => (store as Values)[name] !== undefined).join(', ')
}

/** Makes the stores of the scopes of one policy. */
export class Stores {
  /** Of the roots that are opened now. */
  shape: Shape
  private readonly names: ReadonlySet<string>
  private readonly locked: ReadonlySet<string>
  private readonly few: Shape

  constructor ({ names, seeds, locked }: Pick<Policy, 'names' | 'seeds' | 'locked'>) {
    this.names = names
    this.locked = locked
    this.few = fewKeys(locked)
    this.shape = this.few
    this.expect(seeds.length)
  }

  /**
   * So many values are given to a root. If they are many, those that open later have a place for each key from the start. A
   * locked key is read-only, which no copy of it would be, so it takes a policy without them.
   */
  expect (count: number): void {
    if (count > MANY && this.locked.size === 0 && this.shape === this.few) this.shape = manyKeys(this.names)
  }

  /** Gives a key of a store its value. */
  put (store: object, name: string, value: unknown): void {
    put(store as Values, name, value, this.locked)
  }
}
