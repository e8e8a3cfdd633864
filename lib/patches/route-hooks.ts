import type { FastifyReply, FastifyRequest } from 'fastify'
import { hasNotFoundContext, notFoundContext, wrappedErrorHandlers, type RouteContext } from './fastify-internals.ts'
import { callWithin, resumeHook, resumeWithin, type Resume } from '../lifecycle/reentry.ts'
import { lifetimeOf } from '../lifecycle/carrier.ts'
import { BEFORE_HANDLER } from '../lifecycle/rest-of-request.ts'
import { HookCall, isThenable, Settling } from './hook-call.ts'
import { isOpener } from './opener.ts'
import { watchedHook } from '../scope/misuse-warnings.ts'
import { watchStream } from './streams.ts'
import { kWrapped } from '../common/symbols.ts'

type Hook = (...args: any[]) => unknown

/** Hooks of `(request, reply, done)`, and of `(request, reply, payload, done)`; onRequestAbort takes `(request, done)`. */
const PLAIN = ['onRequest', 'preValidation', 'preHandler', 'onResponse', 'onTimeout']
const WITH_PAYLOAD = ['preParsing', 'preSerialization', 'onError', 'onSend']

/** Hooks that run next to the others, not in sequence. */
const ASIDE: ReadonlySet<string> = new Set(['onTimeout'])

/** The wrapped lists of hooks, and the functions that wrap them. Fastify shares some lists between routes. */
const wrapped = new WeakSet<object>()

/** A symbol marks a wrapped route. It is read for each request, and a WeakSet is too slow for that. */
interface WrappedRoute extends RouteContext { [kWrapped]?: true }

/**
 * Wraps every function that Fastify will call for a route, so that it runs in the scope of its request in every case: after a
 * timer older than the request, a callback that another request's code resumed, or a body that arrived later. The end
 * of the request waits for each one that began. Runs on the first request of the route, when all hooks are known.
 */
export const routeHooks = {
  target: 'the route of a request',
  property: 'onRequest, preParsing, preValidation, preHandler, preSerialization, onError, onSend, onResponse, onTimeout, onRequestAbort, handler, errorHandler',
  reason: 'Fastify calls a hook wherever the one before it called done, see https://nodejs.org/api/async_context.html#troubleshooting-context-loss',
  without: 'a hook or handler that is called by a shared callback runs outside the scope of its request, and the scope may end before they are done',

  available (route: RouteContext | undefined): route is RouteContext {
    return typeof route?.handler === 'function'
  },

  /**
   * @param diagnostics whether a read in a hook that runs before the scope opens emits a warning
   * @returns a function that reverts this; `undefined` if the route is already wrapped
   */
  install (route: WrappedRoute, diagnostics: boolean): (() => void) | undefined {
    if (route[kWrapped] === true) return undefined
    const undo: Array<() => void> = []
    wrapRoute(route, diagnostics, undo)
    return () => { for (const revert of undo.reverse()) revert() }
  }
}

/** The same for the 404 handler that a route's `reply.callNotFound()` calls. */
export const notFoundHooks = {
  target: 'the 404 handler of a route',
  property: 'preHandler, preSerialization, onError, onSend, onResponse, handler, errorHandler',
  reason: 'reply.callNotFound() continues with the hooks of another route, see https://fastify.dev/docs/latest/Reference/Reply/#callnotfound',
  without: 'after reply.callNotFound(), hooks and the 404 handler may run outside the scope of their request',

  available (route: RouteContext): boolean {
    return hasNotFoundContext(route)
  },

  install (route: RouteContext, diagnostics: boolean): (() => void) | undefined {
    const notFound = notFoundContext(route)
    return notFound === undefined ? undefined : routeHooks.install(notFound, diagnostics)
  }
}

function wrapRoute (route: WrappedRoute, diagnostics: boolean, undo: Array<() => void>): void {
  Object.defineProperty(route, kWrapped, { value: true, configurable: true })
  undo.push(() => { delete route[kWrapped] })
  const early = diagnostics && Array.isArray(route.onRequest) ? (route.onRequest as Hook[]).findIndex((hook) => isOpener(hook)) : 0
  for (const name of PLAIN) {
    // A read in a hook before the one that opens the scope emits a warning, from the next request on: for this request they have already run.
    replaceHooks(route[name], (hook, i) => wrapPlain(name === 'onRequest' && i < early ? watchedHook(hook) : hook, name), undo)
  }
  for (const name of WITH_PAYLOAD) replaceHooks(route[name], (hook) => wrapWithPayload(hook, name), undo)
  replaceHooks(route.onRequestAbort, (hook) => wrapAbort(hook, 'onRequestAbort'), undo)
  replace(route, 'handler', wrapHandler, undo)
  const errorHandlers = wrappedErrorHandlers(route, wrapErrorHandler)
  if (errorHandlers !== undefined) replace(route, 'errorHandler', () => errorHandlers, undo)
}

function replaceHooks (hooks: unknown, wrap: (hook: Hook, i: number) => Hook, undo: Array<() => void>): void {
  if (!Array.isArray(hooks) || wrapped.has(hooks)) return
  wrapped.add(hooks)
  const before = [...hooks] as Hook[]
  // In place, because Fastify is iterating over the list of onRequest hooks.
  before.forEach((hook, i) => { hooks[i] = isOpener(hook) ? hook : likeOriginal(wrap(hook, i), hook) })
  undo.push(() => {
    wrapped.delete(hooks)
    hooks.splice(0, before.length, ...before)
  })
}

function replace<K extends string> (route: Record<K, any>, name: K, wrap: (fn: any) => unknown, undo: Array<() => void>): void {
  const before = route[name] as object
  if (wrapped.has(before)) return
  const made = wrap(before) as object
  wrapped.add(made)
  route[name] = made
  undo.push(() => { if (route[name] === made) route[name] = before })
}

/** Code that reads the name and length of a hook, such as `printRoutes` and tracers, gets those of the application's function. */
export function likeOriginal<F extends Hook> (wrapper: F, original: Hook): F {
  return Object.defineProperties(wrapper, { name: { value: original.name, configurable: true }, length: { value: original.length, configurable: true } })
}

function wrapPlain (hook: Hook, name: string): Hook {
  const isBeforeHandler = BEFORE_HANDLER.has(name)
  // The request does not continue in the scope in which a hook next to it calls back.
  const resume: Resume = ASIDE.has(name) ? callWithin : resumeWithin
  return (request: FastifyRequest, reply: FastifyReply, done: Hook) => {
    const lifetime = lifetimeOf(request)
    if (lifetime === undefined) return hook(request, reply, done)
    const call = new HookCall(lifetime, name, isBeforeHandler)
    function next (error?: unknown): unknown {
      call.settle()
      return resumeHook(lifetime!, call, resume, done, error)
    }
    try {
      return call.returned(callWithin(lifetime, hook, request, reply, next), false, resume)
    } catch (error) {
      throw call.failed(error)
    }
  }
}

function wrapWithPayload (hook: Hook, name: string): Hook {
  const isBeforeHandler = BEFORE_HANDLER.has(name)
  const sends = name === 'onSend'
  return (request: FastifyRequest, reply: FastifyReply, payload: unknown, done: Hook) => {
    const lifetime = lifetimeOf(request)
    if (lifetime === undefined) return hook(request, reply, payload, done)
    const call = new HookCall(lifetime, name, isBeforeHandler)
    function next (error?: unknown, payload?: unknown): unknown {
      call.settle()
      if (sends) watchStream(payload, lifetime!)
      return resumeHook(lifetime!, call, resumeWithin, done, error, payload)
    }
    try {
      return call.returned(callWithin(lifetime, hook, request, reply, payload, next), sends)
    } catch (error) {
      throw call.failed(error)
    }
  }
}

function wrapAbort (hook: Hook, name: string): Hook {
  return (request: FastifyRequest, done: Hook) => {
    const lifetime = lifetimeOf(request)
    if (lifetime === undefined) return hook(request, done)
    const call = new HookCall(lifetime, name, false)
    function next (error?: unknown): unknown {
      call.settle()
      return resumeHook(lifetime!, call, callWithin, done, error)
    }
    try {
      return call.returned(callWithin(lifetime, hook, request, next), false, callWithin)
    } catch (error) {
      throw call.failed(error)
    }
  }
}

/** The request waits for the response of a callback-style handler. Without a response only a disconnect ends it. */
function wrapHandler (handler: Hook): Hook {
  return likeOriginal((request: FastifyRequest, reply: FastifyReply) => {
    const lifetime = lifetimeOf(request)
    if (lifetime === undefined) return handler(request, reply)
    lifetime.phase = 'handler'
    const result = callWithin(lifetime, handler, request, reply)
    return isThenable(result) ? new Settling(lifetime, result) : result
  }, handler)
}

function wrapErrorHandler (handler: Hook): Hook {
  return likeOriginal((error: unknown, request: FastifyRequest, reply: FastifyReply) => {
    const lifetime = lifetimeOf(request)
    if (lifetime === undefined) return handler(error, request, reply)
    const result = callWithin(lifetime, handler, error, request, reply)
    return isThenable(result) ? new Settling(lifetime, result) : result
  }, handler)
}
