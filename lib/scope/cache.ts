import { BoundedMap, type Entries } from './bounded-map.ts'

/** What one scope keeps: like a Map, and gone with the scope. */
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

  /** What is kept under a key, or `undefined`. Keys are compared as those of a Map. */
  get (key: unknown): unknown {
    return this.#entries.get(key)
  }

  /** Keeps a value under a key until the scope ends. */
  set (key: unknown, value: unknown): this {
    this.#entries.set(key, value)
    return this
  }

  /** Whether anything is kept under a key, `undefined` included. */
  has (key: unknown): boolean {
    return this.#entries.has(key)
  }

  /** Forgets a key. Returns whether there was anything under it. */
  delete (key: unknown): boolean {
    return this.#entries.delete(key)
  }

  /**
   * The value of a key, made by `factory` where there is none. A promise is kept from when it is pending, so that callers
   * at the same time share one call, and forgotten when it rejects.
   */
  getOrSet<R> (key: unknown, factory: () => R): R {
    // What is kept under a key is what its factory made; who uses two factories for one key gets what he asked for.
    if (this.#entries.has(key)) return this.#entries.get(key) as R
    const made = this.#call(factory)
    const kept = made instanceof Promise ? this.#forgottenIfRejected(key, made) as R : made
    this.#entries.set(key, kept)
    return kept
  }

  /** Forgets all keys. */
  clear (): void {
    this.#entries.clear()
  }

  /** A promise that settles as the one made does: Node tells of its rejection where nobody handles it. */
  #forgottenIfRejected (key: unknown, made: Promise<unknown>): Promise<unknown> {
    const kept = made.catch((error: unknown) => {
      if (this.#entries.get(key) === kept) this.#entries.delete(key)
      throw error
    })
    return kept
  }
}

/** One step on the way to a result: by value for primitives, by identity for objects. */
interface Step {
  readonly next: Map<unknown, Step>
  readonly result: Cache
}

/** The results of memoized functions, by function, `this` and arguments, as long as they may be used. */
export class Memos {
  readonly #start = newStep()
  /** For functions with a limit: what leads to each of their results. */
  readonly #bounded = new Map<unknown, BoundedMap>()

  /**
   * The result of `call`, by what it depends on: made once, shared while it is pending, forgotten when it rejects.
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

  /** Forgets a result, and the steps that lead to no other. */
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
