/** What one scope keeps: like a Map, and gone with the scope. */
export class Cache {
  readonly #entries = new Map<unknown, unknown>()

  get (key: unknown): unknown {
    return this.#entries.get(key)
  }

  set (key: unknown, value: unknown): this {
    this.#entries.set(key, value)
    return this
  }

  has (key: unknown): boolean {
    return this.#entries.has(key)
  }

  delete (key: unknown): boolean {
    return this.#entries.delete(key)
  }

  /**
   * The value of a key, made by `factory` where there is none. A promise is kept while it is pending, so that callers at
   * the same time share one call, and forgotten when it rejects.
   */
  getOrSet<R> (key: unknown, factory: () => R): R {
    // What is kept under a key is what its factory made; who uses two factories for one key gets what he asked for.
    if (this.#entries.has(key)) return this.#entries.get(key) as R
    const made = factory()
    this.#entries.set(key, made)
    if (made instanceof Promise) made.catch(() => { if (this.#entries.get(key) === made) this.#entries.delete(key) })
    return made
  }

  clear (): void {
    this.#entries.clear()
  }
}

/** One step of a list of arguments: by value for primitives, by identity for objects. */
interface Step {
  readonly next: Map<unknown, Step>
  readonly result: Cache
}

/** The results of memoized functions, by function and arguments, as long as they may be used. */
export class Memos {
  readonly #functions = new Map<unknown, Step>()

  /** The result of `call` for these arguments: made once, shared while it is pending, forgotten when it rejects. */
  getOrCall<R> (fn: unknown, args: readonly unknown[], call: () => R): R {
    let step = stepTo(this.#functions, fn)
    for (const argument of args) step = stepTo(step.next, argument)
    return step.result.getOrSet('result', call)
  }
}

function stepTo (steps: Map<unknown, Step>, key: unknown): Step {
  let step = steps.get(key)
  if (step === undefined) steps.set(key, step = { next: new Map(), result: new Cache() })
  return step
}
