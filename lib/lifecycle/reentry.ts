import { scopeOfStore, type Lifetime, type Scope, type Store } from '../scope/scope.ts'
import { currentStore, enter } from '../scope/storage.ts'
import { contains, lifetimeAround } from '../scope/lookup.ts'

/**
 * Decides in which store a request continues. Re-entry replaces a store that is missing or belongs to another request. A scope
 * that was opened within this request on purpose stays (`ctx.run(values, done)`, `ctx.impersonate(values, { reason }, done)`,
 * `asyncLocalStorage.run(store, done)`), as it does with AsyncLocalStorage alone.
 */

/** The first request that continued in a foreign store. `null` for a store that is older than the request. */
const firstIn = new WeakMap<object, Lifetime | null>()

/** Calls a function in the store of a request, unless another store of this request is current. */
export function callWithin<A extends unknown[], R> (lifetime: Lifetime, fn: (...args: A) => R, ...args: A): R {
  return isWithinRequest(lifetime, currentStore()) ? fn(...args) : enter(lifetime.current, fn, ...args)
}

/** The same for a step with which the request continues. A store that was opened within the request is re-entered from now on. */
export function resumeWithin<A extends unknown[], R> (lifetime: Lifetime, fn: (...args: A) => R, ...args: A): R {
  const store = currentStore()
  if (store === lifetime.current) return fn(...args)
  if (!isWithinRequest(lifetime, store) && !isOpenedByHand(lifetime, store)) return enter(lifetime.current, fn, ...args)
  lifetime.continueIn(store!)
  return fn(...args)
}

/**
 * The same for the callback of a hook. A scope that is older than the call of the hook was not opened in it on purpose. It came
 * with the code that calls back, such as a pool, from other work of this request.
 */
export function resumeHook<A extends unknown[], R> (lifetime: Lifetime, since: number, fn: (...args: A) => R, ...args: A): R {
  const scope = scopeOfStore(currentStore())
  return scope !== undefined && scope.number <= since && scope.store !== lifetime.current ? enter(lifetime.current, fn, ...args) : resumeWithin(lifetime, fn, ...args)
}

/** Whether this store belongs to the request and is not around the scope in which the request continues. */
export function isWithinRequest (lifetime: Lifetime, store: Store | undefined): boolean {
  if (store === lifetime.current) return true
  if (store === undefined) return false
  const scope = scopeOfStore(store)
  if (scope === undefined) return firstIn.get(store) === lifetime
  return lifetimeAround(scope) === lifetime && !isLeft(lifetime, scope)
}

/** Whether the request continues in a scope that was opened within this one, where the next call belongs. */
function isLeft ({ innermost }: Lifetime, scope: Scope): boolean {
  return scope !== innermost && contains(scope, innermost)
}

/** Notes a store that was current before the scope opened, and so was not opened within it. */
export function noteOutside (store: Store | undefined): void {
  if (store !== undefined && scopeOfStore(store) === undefined) firstIn.set(store, null)
}

/** Whether a foreign store was opened within this request. It belongs to the first request that continues in it. */
function isOpenedByHand (lifetime: Lifetime, store: Store | undefined): boolean {
  if (typeof store !== 'object' || store === null || scopeOfStore(store) !== undefined || firstIn.has(store)) return false
  firstIn.set(store, lifetime)
  return true
}
