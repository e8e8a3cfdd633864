import type { AsyncLocalStorage } from 'node:async_hooks'
import { asyncLocalStorage } from '@fastify/request-context'
import { registerCopy } from './copies.ts'
import { scopeOfStore, type Scope, type Store } from './scope.ts'

/**
 * The one storage of the process. It is the storage of `@fastify/request-context`, so that code written for that package reads our
 * values. Its type says `RequestContext`, but it always holds the store.
 */
const storage = asyncLocalStorage as unknown as AsyncLocalStorage<Store | undefined>

/** The same for other files. This file reads a constant of its own, because V8 loads an exported binding on each use: 11 instructions (6 %) of a read of a key. */
export const processStorage: typeof storage = storage

registerCopy(new Error('loaded').stack)

/** Returns the current store, ours or a foreign one. */
export function currentStore (): Store | undefined {
  return storage.getStore()
}

/** Returns the innermost current scope of any context. */
export function currentScope (): Scope | undefined {
  return scopeOfStore(storage.getStore())
}

/** Calls `fn` in a store. Skips `AsyncLocalStorage.run` if the store is current already. */
export function enter<A extends unknown[], R> (store: Store | undefined, fn: (...args: A) => R, ...args: A): R {
  if (storage.getStore() === store) return fn(...args)
  refresh(store)
  return storage.run(store, fn, ...args)
}

/** Brings a settled scope up to date, for code that reads the store itself, as `requestContext.get` does. */
function refresh (store: Store | undefined): void {
  const scope = scopeOfStore(store)
  if (scope !== undefined && scope.unlinked) scope.refresh()
}

/** Returns a function that calls `fn` in a store and passes `this` and all arguments on. */
export function bound<F extends (this: any, ...args: any[]) => unknown> (store: Store | undefined, fn: F): F {
  function inStore (this: unknown, ...args: unknown[]): unknown {
    if (storage.getStore() === store) return fn.apply(this, args)
    refresh(store)
    return storage.run(store, applied, fn, this, args)
  }
  // It has the parameters and the result of `fn`.
  return inStore as F
}

/** The same, with the name and the length of `fn`. */
export function boundAlike<F extends (this: any, ...args: any[]) => unknown> (store: Store | undefined, fn: F): F {
  return Object.defineProperties(bound(store, fn), {
    name: { value: fn.name, configurable: true },
    length: { value: fn.length, configurable: true }
  })
}

function applied (fn: (...args: any[]) => unknown, self: unknown, args: unknown[]): unknown {
  return fn.apply(self, args)
}
