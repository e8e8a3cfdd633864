import { kCurrentStore, kDefinition, kEntryPoints, kIsOpen } from '../common/symbols.ts'
import type { EntryPoint } from '../common/warnings.ts'
import type { ContextDefinition } from '../lifecycle/context-definition.ts'
import { scopeOfStore, type Scope, type Store } from '../scope/scope.ts'
import { currentStore } from '../scope/storage.ts'
import type { ContextApi } from './context-api.ts'
import { ContextBase } from './context-base.ts'
import { RootContext } from './root-context.ts'
import type { HeldValue, WritableKeyOf } from '../types.ts'

/** `request.ctx`: the calls of `ctx` for that request, wherever they are made, and each key as a property. */
export type RequestContext<V> =
  & ContextApi<V>
  & { [K in WritableKeyOf<V>]: HeldValue<V[K]> }
  & {
    /** The id of the request, the same as `request.id`. */
    readonly requestId: string
  }

/**
 * The class of `request.ctx`. It acts on the scope of its request, or on a current scope within the request. A subclass for
 * each set of keys has the keys as properties.
 */
abstract class RequestContextBase extends ContextBase<Record<string, unknown>> {
  /** The request's own scope. `undefined` before it opens. */
  readonly #root: Scope | undefined

  constructor (root: Scope | undefined) {
    super()
    this.#root = root
    // A write to an unknown name would have no effect, so it throws a TypeError.
    Object.preventExtensions(this)
  }

  /** Whether the scope is open. Before it opens, undeclared names give no warning, because `await` and others read such names. */
  get [kIsOpen] (): boolean {
    return this.#root !== undefined
  }

  get root (): ContextApi<Record<string, unknown>> {
    return new RootContext(this[kDefinition], () => this[kCurrentStore]())
  }

  get requestId (): string {
    return this.require('requestId') as string
  }

  /** Takes fewer steps if a scope of this request is current, which is usual. */
  override get (key: string): unknown {
    const store = currentStore()
    const scope = scopeOfStore(store)
    const value = scope !== undefined && scope.root === this.#root && !scope.unlinked ? store![key] : undefined
    return value === undefined ? super.get(key) : value
  }

  protected override [kEntryPoints] (key: string): EntryPoint[] {
    const accessor = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(this), key)?.get ?? readAnyKey
    return [...super[kEntryPoints](key), RequestContextBase.prototype.get, accessor]
  }

  protected [kCurrentStore] (): Store | undefined {
    const lifetime = this.#root?.lifetime
    if (lifetime === undefined) return undefined
    const store = currentStore()
    return scopeOfStore(store)?.root.lifetime === lifetime ? store : lifetime.innermost.store
  }
}

/**
 * Creates the class of `request.ctx` for one set of keys, and returns a function that makes its objects.
 *
 * @param open whether any other name may be a key, too
 */
export function requestContextOf (definition: ContextDefinition, names: Iterable<string>, open: boolean): (root: Scope | undefined) => object {
  class KeyedContext extends RequestContextBase {
    protected get [kDefinition] (): ContextDefinition { return definition }
  }
  const { prototype } = KeyedContext
  for (const name of names) {
    Object.defineProperty(prototype, name, {
      get (this: RequestContextBase) { return this.get(name) },
      set (this: RequestContextBase, value: unknown) { this.set(name, value) }
    })
  }
  if (open) {
    // The calls are copied to this prototype, so that only other names reach the proxy.
    Object.setPrototypeOf(Object.defineProperties(prototype, inherited(prototype)), anyKey)
  }
  return (root) => new KeyedContext(root)
}

/** The properties of an object and its prototypes. The nearest one wins. */
function inherited (object: object): PropertyDescriptorMap {
  const own = Object.getOwnPropertyDescriptors(object)
  const prototype: unknown = Object.getPrototypeOf(object)
  return prototype === null || prototype === Object.prototype ? own : { ...inherited(prototype as object), ...own }
}

function readAnyKey (target: object, name: string | symbol, access: RequestContextBase): unknown {
  if (typeof name === 'symbol' || name in target) return Reflect.get(target, name, access)
  return access[kIsOpen] ? access.get(name) : undefined
}

const anyKey = new Proxy(Object.prototype, {
  get: readAnyKey,
  set (_target, name, value: unknown, access: RequestContextBase) {
    if (typeof name === 'symbol') return false
    access.set(name, value)
    return true
  }
})
