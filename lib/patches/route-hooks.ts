import type { EventEmitter } from 'node:events'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { notFoundContext, type RouteContext } from './fastify-internals.ts'
import { watchedHook } from '../scope/misuse-warnings.ts'
import type { Store } from '../scope/scope.ts'
import { currentStore, enter } from '../scope/storage.ts'
import { lifeOf, lifeOfRaw } from '../lifecycle/request-lifetime.ts'
import { emitInScope } from './node-events.ts'

type Hook = (...args: any[]) => unknown

/** The kinds of hooks, and where each takes its callback: the position among its arguments. */
const HOOKS = {
  onRequest: 2,
  preParsing: 3,
  preValidation: 2,
  preHandler: 2,
  preSerialization: 3,
  onError: 3,
  onSend: 3,
  onResponse: 2,
  onTimeout: 2,
  onRequestAbort: 1
} as const

/** Hooks that run when the answer is out or the client is gone: the scope waits for them before it ends. */
const LAST: ReadonlySet<string> = new Set(['onResponse', 'onTimeout', 'onRequestAbort'])

/** The hook that opens the scope, as Fastify has bound it: before it there is nothing to re-enter. */
const OURS = 'bound fastifyCtxOnRequest'

/** The lists of hooks that are guarded, and the guards themselves: Fastify shares some between routes. */
const guarded = new WeakSet<object>()

/** Marks a route that is guarded: looked at for each request, which a WeakSet is too slow for. */
const kGuarded = Symbol('fastify-ctx.guarded')

interface GuardedRoute extends RouteContext { [kGuarded]?: true }

/**
 * Guards every function that Fastify will call for a route, so that it runs in the scope of its request whatever called
 * it: a timer older than the request, a callback that another request's code resumed, a body that arrived later. Done at
 * the first request of the route, when the hooks of everyone are known.
 *
 * @param diagnostics whether a read in a hook that runs before the scope opens is told
 * @returns whether this was the first
 */
export function guardRoute (route: GuardedRoute, diagnostics: boolean): boolean {
  if (route[kGuarded] === true) return false
  route[kGuarded] = true
  if (diagnostics && Array.isArray(route.onRequest) && !guarded.has(route.onRequest)) watchEarly(route.onRequest as Hook[])
  for (const [name, callbackAt] of Object.entries(HOOKS)) guardHooks(route[name], callbackAt, name)
  if (!guarded.has(route.handler)) route.handler = guard(route.handler)
  const notFound = notFoundContext(route)
  if (notFound !== undefined) guardRoute(notFound, diagnostics)
  return true
}

function guardHooks (hooks: unknown, callbackAt: number, name: string): void {
  if (!Array.isArray(hooks) || guarded.has(hooks)) return
  guarded.add(hooks)
  // In place: Fastify is walking the list of onRequest hooks just now.
  hooks.forEach((hook: Hook, i) => {
    if (hook.name === OURS) return
    hooks[i] = LAST.has(name) ? guardLast(hook, callbackAt, name) : guardHook(hook, callbackAt, name)
  })
}

/** Marks what hooks do before the scope opens. They have run for this request: from the next on, a read in them is told. */
function watchEarly (hooks: Hook[]): void {
  const ours = hooks.findIndex((hook) => hook.name === OURS)
  for (let i = 0; i < ours; i++) hooks[i] = watchedHook(hooks[i]!)
}

function guard (handler: Hook): Hook {
  const inScope: Hook = (request: FastifyRequest, reply: FastifyReply) => {
    const life = lifeOf(request)
    if (life === undefined) return handler(request, reply)
    life.phase = 'handler'
    const { store } = life.scope
    return native(currentStore() === store ? handler(request, reply) : enter(store, handler, request, reply))
  }
  guarded.add(inScope)
  return inScope
}

function guardHook (hook: Hook, callbackAt: number, name: string): Hook {
  const takesCallback = hook.length > callbackAt
  return function inScope (request: FastifyRequest, a: unknown, b: unknown, c: unknown) {
    const life = lifeOf(request)
    if (life === undefined) return hook(request, a, b, c)
    life.phase = name
    const { store } = life.scope
    if (takesCallback) {
      if (callbackAt === 2) b = resumed(store, b as Hook)
      else c = resumed(store, c as Hook)
    }
    return native(currentStore() === store ? hook(request, a, b, c) : enter(store, hook, request, a, b, c))
  }
}

/** Fastify's callback, which calls the next hook: in the scope, whatever code calls it. */
function resumed (store: Store, callback: Hook): Hook {
  return (error, payload) => enter(store, callback, error, payload)
}

/** A hook that the end of the scope waits for. */
function guardLast (hook: Hook, callbackAt: number, name: string): Hook {
  return (...args) => {
    const life = lifeOf(args[0] as FastifyRequest)
    if (life === undefined) return hook(...args)
    const { store } = life.scope
    life.phase = name
    life.hold()
    const callback = args[callbackAt] as Hook
    args[callbackAt] = (error: unknown) => {
      // Fastify calls the next hook, or writes its last line, within its callback.
      try { enter(store, callback, error) } finally { life.release() }
    }
    let result: unknown
    try {
      result = native(enter(store, hook, ...args))
    } catch (error) {
      queueMicrotask(() => { life.release() })
      throw error
    }
    if (result instanceof Promise) {
      // Fastify's own reaction comes after this one, and the next hook begins in it.
      const release = (): void => { queueMicrotask(() => { life.release() }) }
      result.then(release, release)
    } else if (hook.length <= callbackAt) life.release()
    return result
  }
}

/** A promise of Node's own for any other thenable: reactions to it run where they were attached. */
function native (result: unknown): unknown {
  if (typeof result !== 'object' || result === null || result instanceof Promise) return result
  return typeof (result as PromiseLike<unknown>).then === 'function' ? Promise.resolve(result) : result
}

/** Sends the answer, and with it runs the hooks and the error handler that come then, in the scope of the request. */
export function sendInScope (reply: FastifyReply): void {
  const send = reply.send as ScopedSend
  if (send[kScoped] === true) return
  // Where it is Fastify's own, all replies of these routes have it from one place.
  const holder = Object.hasOwn(reply, 'send') ? reply : Object.getPrototypeOf(reply) as FastifyReply
  holder.send = sending(send)
}

type Send = FastifyReply['send']

const kScoped = Symbol('fastify-ctx.scoped')

interface ScopedSend extends Send { [kScoped]?: true }

function sending (send: Send): Send {
  function sendInScope (this: FastifyReply, payload?: unknown): FastifyReply {
    const life = lifeOfRaw(this.raw)
    if (life === undefined) return send.call(this, payload)
    const { store } = life.scope
    // A stream may be fed by another request's code, which its listeners must not run in.
    if (isStream(payload)) emitInScope(payload, store)
    return currentStore() === store ? send.call(this, payload) : enter(store, sendNow, this, send, payload)
  }
  sendInScope[kScoped] = true
  return sendInScope as ScopedSend
}

function sendNow (reply: FastifyReply, send: Send, payload: unknown): FastifyReply {
  return send.call(reply, payload)
}

function isStream (payload: unknown): payload is EventEmitter {
  return typeof payload === 'object' && payload !== null && typeof (payload as EventEmitter & { pipe?: unknown }).pipe === 'function' && 'emit' in payload
}
