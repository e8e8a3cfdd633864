import { BoundedMap, type Entries } from './bounded-map.ts'

/** A cache for one scope. It works like a Map, and it is dropped with the scope. */
export class Cache {
  readonly #entries: Entries
  readonly #call: <R>(factory: () => R) => R

  /**
   * @param call calls a factory in the scope of the cache: what is made in another one may be another user's
   * @param max how many entries it has at most; by default there is no limit
   */
  constructor (call: <R>(factory: () => R) => R = (factory) => factory(), max?: number) {
    this.#call = call
    this.#entries = max === undefined ? new Map() : new BoundedMap(max)
  }

  /** Returns the value of a key, or `undefined`. Keys are compared like the keys of a Map. */
  get (key: unknown): unknown {
    return this.#entries.get(key)
  }

  /** Keeps a value until the scope ends. */
  set (key: unknown, value: unknown): this {
    this.#entries.set(key, value)
    return this
  }

  /** Returns whether a key has a value, also if it is `undefined`. */
  has (key: unknown): boolean {
    return this.#entries.has(key)
  }

  /** Deletes a key. Returns whether it had a value. */
  delete (key: unknown): boolean {
    return this.#entries.delete(key)
  }

  /**
   * Returns the value of a key. If there is none, `factory` makes it. A promise is kept while it is pending, so concurrent callers
   * share one call. It is deleted if it rejects.
   */
  getOrSet<R> (key: unknown, factory: () => R): R {
    // The factory of the key made this value. Code that uses two factories for one key gets the value of the first.
    if (this.#entries.has(key)) return this.#entries.get(key) as R
    const made = this.#call(factory)
    const kept = made instanceof Promise ? this.#forgottenIfRejected(key, made) as R : made
    this.#entries.set(key, kept)
    return kept
  }

  /** Deletes all keys. */
  clear (): void {
    this.#entries.clear()
  }

  /** Returns a promise that settles like the one made, so Node.js reports its rejection if nobody handles it. */
  #forgottenIfRejected (key: unknown, made: Promise<unknown>): Promise<unknown> {
    const kept = made.catch((error: unknown) => {
      if (this.#entries.get(key) === kept) this.#entries.delete(key)
      throw error
    })
    return kept
  }
}

/** A step on the way to a result: by value for primitives, by identity for objects. */
interface Step {
  readonly next: Map<unknown, Step>
  readonly result: Cache
}

/** The results of memoized functions, by function, `this` and arguments. */
export class Memos {
  readonly #start = newStep()
  /** For functions with a limit: what leads to each of their results. */
  readonly #bounded = new Map<unknown, BoundedMap>()

  /**
   * Returns the result of `call`, which is called once for what it depends on. A pending result is shared, and a rejected one is forgotten.
   *
   * @param dependsOn the memoized function first
   * @param max how many results of the function are kept at most
   */
  getOrCall<R> (dependsOn: readonly unknown[], call: () => R, max?: number): R {
    let step = this.#start
    for (const key of dependsOn) {
      let next = step.next.get(key)
      if (next === undefined) step.next.set(key, next = newStep())
      step = next
    }
    // Before the call, which may call the function again.
    if (max !== undefined) this.#resultsOf(dependsOn[0], max).set(step, dependsOn)
    return step.result.getOrSet('result', call)
  }

  #resultsOf (fn: unknown, max: number): BoundedMap {
    let results = this.#bounded.get(fn)
    if (results === undefined) this.#bounded.set(fn, results = new BoundedMap(max, (path) => { this.#forget(path as readonly unknown[]) }))
    return results
  }

  /** Deletes a result, and the steps that lead to no other result. */
  #forget (path: readonly unknown[]): void {
    const steps = [this.#start]
    for (const key of path) steps.push(steps.at(-1)!.next.get(key)!)
    steps.at(-1)!.result.clear()
    for (let i = path.length; i > 0 && steps[i]!.next.size === 0 && !steps[i]!.result.has('result'); i--) steps[i - 1]!.next.delete(path[i - 1])
  }
}

function newStep (): Step {
  return { next: new Map(), result: new Cache() }
}
