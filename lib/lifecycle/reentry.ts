import { scopeOfStore, type Life, type Store } from '../scope/scope.ts'
import { currentStore, enter } from '../scope/storage.ts'
import { lifeAround } from '../scope/lookup.ts'

/**
 * Where a request goes on. Re-entry mends a store that is lost or another request's; a scope that somebody opened within
 * this request on purpose stays (`ctx.run(values, done)`, `ctx.impersonate(values, { reason }, done)`,
 * `asyncLocalStorage.run(store, done)`), as it does with AsyncLocalStorage alone.
 */

/** The first request that went on in a store which is not ours; `null` for a store that is older than the request. */
const firstIn = new WeakMap<object, Life | null>()

/** Calls a function in the request's store, unless another store of this request is current. */
export function callWithin<A extends unknown[], R> (life: Life, fn: (...args: A) => R, ...args: A): R {
  return isWithinRequest(life, currentStore()) ? fn(...args) : enter(life.current, fn, ...args)
}

/** The same for what the request goes on with: a store that was opened within it is the one to re-enter from now on. */
export function resumeWithin<A extends unknown[], R> (life: Life, fn: (...args: A) => R, ...args: A): R {
  const store = currentStore()
  if (store === life.current) return fn(...args)
  if (!isWithinRequest(life, store) && !isOpenedByHand(life, store)) return enter(life.current, fn, ...args)
  life.goOnIn(store!)
  return fn(...args)
}

/**
 * The same for the callback of a hook. A scope that is older than the hook's call was not opened in it on purpose: code that
 * calls back, such as a pool's, brought along the scope of other work of this request.
 */
export function resumeHook<A extends unknown[], R> (life: Life, since: number, fn: (...args: A) => R, ...args: A): R {
  const scope = scopeOfStore(currentStore())
  return scope !== undefined && scope.number <= since && scope.store !== life.current ? enter(life.current, fn, ...args) : resumeWithin(life, fn, ...args)
}

/** Whether what runs in this store is code of the request. */
export function isWithinRequest (life: Life, store: Store | undefined): boolean {
  if (store === life.current) return true
  if (store === undefined) return false
  const scope = scopeOfStore(store)
  return scope === undefined ? firstIn.get(store) === life : lifeAround(scope) === life
}

/** A store that was current before the scope opened is not one that was opened within it. */
export function noteOutside (store: Store | undefined): void {
  if (store !== undefined && scopeOfStore(store) === undefined) firstIn.set(store, null)
}

/** A store that is not ours belongs to the first request that goes on in it. */
function isOpenedByHand (life: Life, store: Store | undefined): boolean {
  if (typeof store !== 'object' || store === null || scopeOfStore(store) !== undefined || firstIn.has(store)) return false
  firstIn.set(store, life)
  return true
}
