import type { FastifyReply, FastifyRequest, HookHandlerDoneFunction } from 'fastify'
import { abortLate, cancelAt } from '../lifecycle/cancellation.ts'
import { FST_CTX_REST_REFUSED, FST_CTX_SEED_FAILED } from '../common/errors.ts'
import { publishOpen } from '../scope/diagnostics-channel.ts'
import { routeContext, type RouteContext } from '../patches/fastify-internals.ts'
import { checkedId, isSafeId } from '../config/request-id.ts'
import type { SeedRequest } from '../config/key.ts'
import { tieLogger } from '../logging/request-logger.ts'
import { Scope, type Registration } from '../scope/scope.ts'
import { currentStore, processStorage } from '../scope/storage.ts'
import { impersonationOf, scopeOf } from '../scope/lookup.ts'
import { openTrace } from '../scope/active-trace.ts'
import { noteOutside } from '../lifecycle/reentry.ts'
import { lifetimeOf, setLifetime } from '../lifecycle/carrier.ts'
import { RequestLifetime } from '../lifecycle/request-lifetime.ts'
import { patchRequest, patchSignal, type Undo } from '../patches/index.ts'
import { markOpener } from '../patches/opener.ts'
import { endWithReply, optsOut } from './public-hooks.ts'
import { checkLast } from './required-keys.ts'

type OnRequest = (request: FastifyRequest, reply: FastifyReply, done: HookHandlerDoneFunction) => void

/**
 * Creates the onRequest hook that opens the scope of a request. Its seeds, and everything after it, run in the scope.
 *
 * @param reenter whether functions of Fastify and Node are replaced, so that the request re-enters its scope
 * @param undo collects functions that revert this
 */
export function openOnRequest (definition: object, registration: Registration, responseHeader: string | undefined, reenter: boolean, undo: Undo): OnRequest {
  return markOpener(function fastifyCtxOnRequest (request, reply, done) {
    const around = lifetimeOf(request)
    // If the plugin is also registered in a parent, or the request is routed again, the request already has its scope of this context.
    if (around !== undefined && scopeOf(definition, around.scope) !== undefined) {
      if (responseHeader !== undefined) reply.header(responseHeader, request.id)
      return done()
    }

    // This scope would enclose the impersonation, and hide it.
    if (around !== undefined && around.innermost !== around.scope && impersonationOf(around.innermost) !== undefined) return done(new FST_CTX_REST_REFUSED('another context opens its scope after it'))
    const lifetime = around ?? new RequestLifetime(reply)
    const scope = new Scope(definition, registration, undefined, around?.scope, lifetime)
    lifetime.open(scope)
    // The id of a generator set after the plugin is not checked yet.
    if (!isSafeId(request.id)) request.id = checkedId(request.id)
    scope.store.requestId = request.id
    scope.log = request.log
    const { headers } = request.raw
    openTrace(scope, request, headers)
    const route = routeContext(request)
    // Fastify creates this object on each read, so read it only if the route itself is not found.
    const { config, handlerTimeout = 0 } = route ?? (request.routeOptions as Pick<RouteContext, 'config' | 'handlerTimeout'>)
    scope.route = config?.url
    if (route !== undefined) checkLast(route)
    if (around === undefined) {
      noteOutside(currentStore())
      setLifetime(request, reply, lifetime)
      tieLogger(request.log, request.server.log, request.raw, lifetime)
    }
    if (reenter && !lifetime.reenters && !optsOut(config)) patchRequest(request, reply, route, lifetime, registration.settings.diagnostics, undo)
    else if (around === undefined) endWithReply(reply, lifetime)
    if (around === undefined) {
      if (handlerTimeout > 0) limitHandler(request.signal, lifetime, handlerTimeout)
      if (isGone(request, reply)) lifetime.close(false)
    }
    publishOpen(scope)
    if (responseHeader !== undefined) reply.header(responseHeader, request.id)
    processStorage.run(scope.store, seed, scope, request, 0, done)
  })
}

/** Whether the client disconnected before the scope opened: in a slow hook before the plugin, or in a slow `serverFactory`. */
function isGone ({ raw }: FastifyRequest, reply: FastifyReply): boolean {
  if (raw.aborted) return true
  // HTTP/2 has a stream per request, HTTP/1 a socket per connection.
  const { stream } = reply.raw as { readonly stream?: { readonly destroyed: boolean } }
  if (stream !== undefined) return stream.destroyed
  // A websocket opened by injectWS has no socket.
  const { socket } = raw as { readonly socket?: { readonly destroyed: boolean } }
  return reply.raw.destroyed || socket?.destroyed === true
}

/** A route's `handlerTimeout` limits the scope. Its signal is older than the scope, and can also be aborted for other reasons. */
function limitHandler (signal: AbortSignal, lifetime: RequestLifetime, timeout: number): void {
  if (lifetime.reenters) patchSignal(signal, lifetime)
  const { scope } = lifetime
  cancelAt(scope, Date.now() + timeout)
  signal.addEventListener('abort', () => {
    if ((signal.reason as { code?: unknown } | undefined)?.code !== 'FST_ERR_HANDLER_TIMEOUT') return
    lifetime.timedOut = true
    abortLate(scope)
  }, { once: true })
}

/** Reads the seeds from `from` on, in turn, so each may read earlier keys. */
function seed (scope: Scope, request: FastifyRequest, from: number, done: HookHandlerDoneFunction): void {
  const { seeds } = scope.registration.policy
  for (let i = from; i < seeds.length; i++) {
    const { name, seed: read } = seeds[i]!
    let value: unknown
    try {
      value = read(request as SeedRequest)
    } catch (error) {
      return done(asError(error, name))
    }
    if (typeof (value as PromiseLike<unknown> | undefined)?.then === 'function') return seedLater(scope, request, i, done, value)
    keep(scope, name, value)
  }
  done()
}

/** Awaits a seed, then reads the ones after it. A separate function, so that sync seeds allocate no callbacks. */
function seedLater (scope: Scope, request: FastifyRequest, at: number, done: HookHandlerDoneFunction, value: unknown): void {
  const { name } = scope.registration.policy.seeds[at]!
  const lifetime = scope.lifetime!
  lifetime.hold()
  Promise.resolve(value).then((value) => {
    lifetime.release()
    keep(scope, name, value)
    seed(scope, request, at + 1, done)
  }, (error: unknown) => {
    lifetime.release()
    done(asError(error, name))
  })
}

function keep (scope: Scope, name: string, value: unknown): void {
  if (value !== undefined) scope.write(name, value)
}

/** Fastify treats a hook that fails with a falsy value as successful. */
function asError (error: unknown, name: string): Error {
  return (error || Object.assign(new FST_CTX_SEED_FAILED(name), { cause: error })) as Error
}
