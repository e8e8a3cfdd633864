import { kCurrentStore, kDefinition } from '../common/symbols.ts'
import type { ContextDefinition } from '../lifecycle/context-definition.ts'
import type { Cache } from '../scope/cache.ts'
import { scopeOf } from '../scope/lookup.ts'
import { scopeOfStore, type Store } from '../scope/scope.ts'
import { sharedStore, storeFor, unitOf } from '../scope/unit.ts'
import { ContextBase } from './context-base.ts'
import { cacheIn, memoize, type MemoOptions } from './memo.ts'

/** The class of `ctx.root`: the same calls, acting on the current unit of work. */
export class RootContext<V> extends ContextBase<V> {
  readonly #definition: ContextDefinition
  readonly #innerStore: () => Store | undefined

  /** @param innerStore returns the store within that unit of work */
  constructor (definition: ContextDefinition, innerStore: () => Store | undefined) {
    super()
    this.#definition = definition
    this.#innerStore = innerStore
  }

  protected get [kDefinition] (): ContextDefinition {
    return this.#definition
  }

  protected [kCurrentStore] (): Store | undefined {
    const store = this.#innerStore()
    const scope = scopeOf(this.#definition, scopeOfStore(store))
    return scope === undefined || scope.root.ended ? store : storeFor(unitOf(scope))
  }

  get root (): this {
    return this
  }

  override get cache (): Cache {
    return cacheIn(this.#definition, this.#sharedStore())
  }

  override memo<F extends (this: any, ...args: any[]) => unknown> (fn: F, options: MemoOptions<F> = {}): F {
    return memoize(this.#definition, () => this.#sharedStore(), fn, options)
  }

  #sharedStore (): Store | undefined {
    return sharedStore(this.#definition, this.#innerStore())
  }
}
