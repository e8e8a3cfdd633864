import { scopeOfStore, type Lifetime, type Scope, type Store } from '../scope/scope.ts'
import { currentStore, enter } from '../scope/storage.ts'
import { contains, lifetimeAround } from '../scope/lookup.ts'
import { isStarting } from './run.ts'

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

/** The scopes that were opened in the function of a hook as far as it has run, by their numbers: above `since`, up to `until`. */
export interface HookSpan {
  readonly since: number
  /** `Infinity` as long as nothing else of the request may open scopes. */
  readonly until: number
}

/** How Fastify continues after a hook: `resumeWithin`, or `callWithin` after a hook that runs next to the request. */
export type Resume = typeof resumeWithin

/**
 * The same for the callback of a hook. A scope that was not opened in the hook came with the code that calls back, such as a
 * pool, from other work of this request.
 */
export function resumeHook<A extends unknown[], R> (lifetime: Lifetime, span: HookSpan, resume: Resume, fn: (...args: A) => R, ...args: A): R {
  return cameAlong(lifetime, span) ? enter(lifetime.current, fn, ...args) : resume(lifetime, fn, ...args)
}

function cameAlong ({ current }: Lifetime, { since, until }: HookSpan): boolean {
  const scope = scopeOfStore(currentStore())
  if (scope === undefined || scope.store === current) return false
  return scope.number <= since || (scope.number > until && !isStarting(scope))
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
