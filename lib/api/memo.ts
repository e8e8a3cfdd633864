import { FST_CTX_INVALID_ARGUMENT } from '../common/errors.ts'
import { ownOptions } from '../common/own-options.ts'
import type { ContextDefinition } from '../lifecycle/context-definition.ts'
import { Cache, Memos } from '../scope/cache.ts'
import { scopeOf } from '../scope/lookup.ts'
import { scopeOfStore, type Scope, type Store } from '../scope/scope.ts'
import { currentScope, enter } from '../scope/storage.ts'
import { storeFor } from '../scope/unit.ts'
import { requireScope, scopeIn } from './values.ts'

/** The options of `ctx.memo`. */
export interface MemoOptions<F extends (...args: any[]) => unknown> {
  /** One value for a call's arguments. Default: each argument by value if it is a primitive, by identity if it is an object. */
  readonly keyOf?: (...args: Parameters<F>) => unknown
  /** The maximum number of results that a scope keeps. Beyond it, the least recently used one is dropped. Default: no limit. */
  readonly max?: number
}

/** The cache of the current scope, created on first use. */
export function cacheIn (definition: ContextDefinition, store: Store | undefined): Cache {
  const scope = requireScope(definition, store, 'ctx.cache')
  const state = scope.state()
  state.cache ??= new Cache((factory) => scopeOf(definition, currentScope()) === scope ? factory() : enter(storeFor(scope), factory), scope.registration.settings.cacheMax)
  return state.cache
}

/** A function that calls `fn` once for the same arguments in one scope: `ctx.memo`. */
export function memoize<F extends (this: any, ...args: any[]) => unknown> (definition: ContextDefinition, currentStore: () => Store | undefined, fn: F, options: MemoOptions<F>): F {
  const { keyOf, max } = ownOptions(options)
  if (typeof fn !== 'function') throw new FST_CTX_INVALID_ARGUMENT('ctx.memo', 'a function to call once for the same arguments')
  if (max !== undefined && !(Number.isSafeInteger(max) && max > 0)) throw new FST_CTX_INVALID_ARGUMENT('ctx.memo', 'a max that is a whole number above 0')
  function memoized (this: unknown, ...args: any[]): unknown {
    const store = currentStore()
    const scope = innermostOpen(definition, store)
    if (scope === undefined) return fn.apply(this, args)
    const steps = keyOf === undefined ? args : [keyOf(...args as Parameters<F>)]
    return memosOf(scope).getOrCall([memoized, this, ...steps], () => enter(store, () => fn.apply(this, args)), max)
  }
  // It has the parameters and the result of `fn`.
  return memoized as F
}

/** The innermost scope, also of another context, whose values may differ. `undefined` if no scope of this context is open. */
function innermostOpen (definition: ContextDefinition, store: Store | undefined): Scope | undefined {
  return scopeIn(definition, store)?.root.ended === false ? scopeOfStore(store) : undefined
}

/** The results that are valid for the values a scope sees now. */
function memosOf (scope: Scope): Memos {
  const state = scope.state()
  const { memoized } = state
  if (memoized !== undefined && isCurrent(memoized.state, scope)) return memoized.memos
  const memos = new Memos()
  state.memoized = { memos, state: stateOf(scope) }
  return memos
}

/** The values that a scope sees, of all contexts, and how often they were written, because a value that was set and set back counts as changed. */
function stateOf (innermost: Scope): unknown[] {
  const state: unknown[] = []
  for (let scope: Scope | undefined = innermost; scope !== undefined; scope = scope.enclosing) {
    state.push(scope.version)
    // `requestContext.set` writes to the store and is not counted.
    for (const name in scope.store) state.push(scope.store[name])
  }
  return state
}

/** Whether a scope still sees the values of this state. */
function isCurrent (state: readonly unknown[], innermost: Scope): boolean {
  let i = 0
  for (let scope: Scope | undefined = innermost; scope !== undefined; scope = scope.enclosing) {
    scope.refresh()
    if (state[i++] !== scope.version) return false
    for (const name in scope.store) if (!Object.is(state[i++], scope.store[name])) return false
  }
  return i === state.length
}
