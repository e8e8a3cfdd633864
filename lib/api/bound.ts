import { FST_CTX_INVALID_ARGUMENT } from '../common/errors.ts'
import type { Store } from '../scope/scope.ts'
import { boundAlike, enter } from '../scope/storage.ts'

/** A function that runs `fn` in a store: `ctx.bind`. */
export function bindFunction<F extends (this: any, ...args: any[]) => unknown> (store: Store | undefined, fn: F): F {
  if (typeof fn !== 'function') throw new FST_CTX_INVALID_ARGUMENT('ctx.bind', 'a function')
  return boundAlike(store, fn)
}

/** A function that runs any function in a store: `ctx.snapshot`. */
export function snapshotOf (store: Store | undefined): <A extends unknown[], R>(fn: (...args: A) => R, ...args: A) => R {
  return (fn, ...args) => {
    if (typeof fn !== 'function') throw new FST_CTX_INVALID_ARGUMENT('ctx.snapshot', 'no arguments: pass a function to the function that it returns')
    return enter(store, fn, ...args)
  }
}

/** Calls `fn` outside of every scope: `ctx.exit`. */
export function callOutside<R> (fn: () => R): R {
  if (typeof fn !== 'function') throw new FST_CTX_INVALID_ARGUMENT('ctx.exit', 'a function to call outside of every scope')
  return enter(undefined, fn)
}
