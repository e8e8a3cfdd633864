import type { FastifyInstance } from 'fastify'
import { bound, boundAlike, currentStore, enter } from '../scope/storage.ts'

type Method = (this: any, ...args: any[]) => any

/** The result of `inject` without a callback. It sends the request when it is awaited, or in the next turn. */
interface Chain { end?: Method, then?: Method, catch?: Method, finally?: Method }

/** The replaced `inject` of each application, and how many contexts need it. */
const replaced = new WeakMap<object, { readonly inject: Method, readonly ours: Method, contexts: number }>()

/**
 * `inject` dispatches a request in the async context of its caller. But an injected request is a separate request: hooks before the
 * plugin, `frameworkErrors` and Fastify's first log line must not find the scope of the caller, and the callback and code after an
 * `await` must not find the scope of the injected request.
 */
export const inject = {
  target: 'fastify',
  property: 'inject',
  reason: 'no hook runs before a request is dispatched, see https://fastify.dev/docs/latest/Guides/Testing/#benefits-of-using-fastifyinject',
  without: 'code that runs before the scope of an injected request opens sees the scope of the code that injected it',

  available (instance: FastifyInstance): boolean {
    return typeof instance.inject === 'function'
  },

  /** Dispatches injected requests outside every scope, until the returned function is called. */
  install (instance: FastifyInstance): () => void {
    const holder = holderOf(instance)
    const known = replaced.get(holder)
    if (known !== undefined && holder.inject === known.ours) {
      known.contexts++
      return () => { release(holder) }
    }
    const before = holder.inject
    const ours = outsideScopes(before)
    replaced.set(holder, { inject: before, ours, contexts: 1 })
    holder.inject = ours
    return () => { release(holder) }
  }
}

/** The application's own object, from which its encapsulated instances inherit. */
function holderOf (instance: FastifyInstance): { inject: Method } {
  let holder: object = instance
  while (!Object.hasOwn(holder, 'inject')) holder = Object.getPrototypeOf(holder) as object
  return holder as { inject: Method }
}

function release (holder: { inject: Method }): void {
  const known = replaced.get(holder)
  if (known === undefined || --known.contexts > 0) return
  replaced.delete(holder)
  // If another tool has replaced it after us, ours stays below, and does nothing outside a scope.
  if (holder.inject === known.ours) holder.inject = known.inject
}

function outsideScopes (before: Method): Method {
  function inject (this: unknown, options: unknown, callback?: Method): unknown {
    const store = currentStore()
    if (store === undefined) return before.call(this, options, callback)
    const given = typeof callback === 'function' ? bound(store, callback) : callback
    const chain = enter(undefined, () => before.call(this, options, given)) as Chain | undefined
    // The chain dispatches when it is awaited: outside the scope. Its callbacks run in the scope again.
    for (const name of ['end', 'then', 'catch', 'finally'] as const) {
      const method = chain?.[name]
      if (method !== undefined) Object.defineProperty(chain, name, { value: dispatching(store, method), writable: true, configurable: true })
    }
    return chain
  }
  return Object.defineProperty(inject, 'length', { value: before.length, configurable: true })
}

function dispatching (store: ReturnType<typeof currentStore>, method: Method): Method {
  function dispatch (this: unknown, ...callbacks: unknown[]): unknown {
    const given = callbacks.map((callback) => typeof callback === 'function' ? boundAlike(store, callback as Method) : callback)
    return enter(undefined, () => method.apply(this, given))
  }
  return dispatch
}
