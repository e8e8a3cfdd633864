import { kCurrentStore, kDefinition } from '../common/symbols.ts'
import type { ContextDefinition } from '../lifecycle/context-definition.ts'
import type { Store } from '../scope/scope.ts'
import { currentStore } from '../scope/storage.ts'
import { ContextBase } from './context-base.ts'

/** What callers hold: it reads and writes the scope that is current where it is called. */
export class Context<V> extends ContextBase<V> {
  readonly #definition: ContextDefinition

  constructor (definition: ContextDefinition) {
    super()
    this.#definition = definition
  }

  protected get [kDefinition] (): ContextDefinition {
    return this.#definition
  }

  protected [kCurrentStore] (): Store | undefined {
    return currentStore()
  }
}
