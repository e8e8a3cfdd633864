import type { AsyncLocalStorage } from 'node:async_hooks'
import { asyncLocalStorage } from '@fastify/request-context'
import { registerCopy } from './copies.ts'
import { scopeOfStore, type Scope, type Store } from './scope.ts'

/**
 * The one storage of the process, that of `@fastify/request-context`, so that code written for it reads our values.
 * Its own type says `RequestContext`; what it holds is the store, here and there.
 */
export const storage = asyncLocalStorage as unknown as AsyncLocalStorage<Store | undefined>

registerCopy(new Error('loaded').stack)

/** The store that is current here, ours or foreign. */
export function currentStore (): Store | undefined {
  return storage.getStore()
}

/** The innermost scope that is current here, of whichever context. */
export function currentScope (): Scope | undefined {
  return scopeOfStore(storage.getStore())
}

/** Calls `fn` within a store; without `AsyncLocalStorage.run` where the store is current already. */
export function enter<A extends unknown[], R> (store: Store | undefined, fn: (...args: A) => R, ...args: A): R {
  if (storage.getStore() === store) return fn(...args)
  refresh(store)
  return storage.run(store, fn, ...args)
}

/** Code that reads the store itself, as `requestContext.get` does, sees what was set around a scope that has settled. */
function refresh (store: Store | undefined): void {
  const scope = scopeOfStore(store)
  if (scope !== undefined && scope.unlinked) scope.refresh()
}

/** A function that calls `fn`, with its own `this` and arguments, within a store. */
export function bound<F extends (this: any, ...args: any[]) => unknown> (store: Store | undefined, fn: F): F {
  function inStore (this: unknown, ...args: unknown[]): unknown {
    if (storage.getStore() === store) return fn.apply(this, args)
    refresh(store)
    return storage.run(store, applied, fn, this, args)
  }
  // Same parameters, same result: it only sets the store around the call.
  return inStore as F
}

/** The same, with the name and the number of parameters of `fn`. */
export function boundAlike<F extends (this: any, ...args: any[]) => unknown> (store: Store | undefined, fn: F): F {
  return Object.defineProperties(bound(store, fn), {
    name: { value: fn.name, configurable: true },
    length: { value: fn.length, configurable: true }
  })
}

function applied (fn: (...args: any[]) => unknown, self: unknown, args: unknown[]): unknown {
  return fn.apply(self, args)
}
