import { scopeOfStore, type Lifetime, type Scope, type Store } from '../scope/scope.ts'
import { currentStore, enter } from '../scope/storage.ts'
import { contains, lifetimeAround } from '../scope/lookup.ts'

/**
 * Where a request goes on. Re-entry mends a store that is lost or another request's; a scope that somebody opened within
 * this request on purpose stays (`ctx.run(values, done)`, `ctx.impersonate(values, { reason }, done)`,
 * `asyncLocalStorage.run(store, done)`), as it does with AsyncLocalStorage alone.
 */

/** The first request that went on in a store which is not ours; `null` for a store that is older than the request. */
const firstIn = new WeakMap<object, Lifetime | null>()

/** Calls a function in the request's store, unless another store of this request is current. */
export function callWithin<A extends unknown[], R> (lifetime: Lifetime, fn: (...args: A) => R, ...args: A): R {
  return isWithinRequest(lifetime, currentStore()) ? fn(...args) : enter(lifetime.current, fn, ...args)
}

/** The same for what the request goes on with: a store that was opened within it is the one to re-enter from now on. */
export function resumeWithin<A extends unknown[], R> (lifetime: Lifetime, fn: (...args: A) => R, ...args: A): R {
  const store = currentStore()
  if (store === lifetime.current) return fn(...args)
  if (!isWithinRequest(lifetime, store) && !isOpenedByHand(lifetime, store)) return enter(lifetime.current, fn, ...args)
  lifetime.continueIn(store!)
  return fn(...args)
}

/**
 * The same for the callback of a hook. A scope that is older than the hook's call was not opened in it on purpose: code that
 * calls back, such as a pool's, brought along the scope of other work of this request.
 */
export function resumeHook<A extends unknown[], R> (lifetime: Lifetime, since: number, fn: (...args: A) => R, ...args: A): R {
  const scope = scopeOfStore(currentStore())
  return scope !== undefined && scope.number <= since && scope.store !== lifetime.current ? enter(lifetime.current, fn, ...args) : resumeWithin(lifetime, fn, ...args)
}

/** Whether what runs in this store is code of the request, and not around the scope in which the request goes on. */
export function isWithinRequest (lifetime: Lifetime, store: Store | undefined): boolean {
  if (store === lifetime.current) return true
  if (store === undefined) return false
  const scope = scopeOfStore(store)
  if (scope === undefined) return firstIn.get(store) === lifetime
  return lifetimeAround(scope) === lifetime && !isLeft(lifetime, scope)
}

/** Whether the request goes on in a scope that was opened within this one: what is called next belongs there. */
function isLeft ({ innermost }: Lifetime, scope: Scope): boolean {
  return scope !== innermost && contains(scope, innermost)
}

/** A store that was current before the scope opened is not one that was opened within it. */
export function noteOutside (store: Store | undefined): void {
  if (store !== undefined && scopeOfStore(store) === undefined) firstIn.set(store, null)
}

/** A store that is not ours belongs to the first request that goes on in it. */
function isOpenedByHand (lifetime: Lifetime, store: Store | undefined): boolean {
  if (typeof store !== 'object' || store === null || scopeOfStore(store) !== undefined || firstIn.has(store)) return false
  firstIn.set(store, lifetime)
  return true
}
