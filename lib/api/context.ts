import { kCurrentStore, kDefinition } from '../common/symbols.ts'
import type { ContextDefinition } from '../lifecycle/context-definition.ts'
import type { Store } from '../scope/scope.ts'
import { currentStore } from '../scope/storage.ts'
import type { ContextApi } from './context-api.ts'
import { ContextBase } from './context-base.ts'
import { RootContext } from './root-context.ts'

/** The class of `ctx`. It reads and writes the scope that is current where it is called. */
export class Context<V> extends ContextBase<V> {
  readonly #definition: ContextDefinition
  readonly #root: ContextApi<V>

  constructor (definition: ContextDefinition) {
    super()
    this.#definition = definition
    this.#root = new RootContext<V>(definition, currentStore)
  }

  get root (): ContextApi<V> {
    return this.#root
  }

  protected get [kDefinition] (): ContextDefinition {
    return this.#definition
  }

  protected [kCurrentStore] (): Store | undefined {
    return currentStore()
  }
}
