import type { FastifyReply, FastifyRequest, HookHandlerDoneFunction } from 'fastify'
import { abortLate, cancelAt } from '../lifecycle/cancellation.ts'
import { FST_CTX_SEED_FAILED } from '../common/errors.ts'
import { publishOpen } from '../scope/diagnostics-channel.ts'
import { routeContext, type RouteContext } from '../patches/fastify-internals.ts'
import { checkedId, isSafeId } from '../config/request-id.ts'
import type { SeedRequest } from '../config/key.ts'
import { tieLogger } from '../logging/request-logger.ts'
import { Scope, type Registration } from '../scope/scope.ts'
import { currentStore, enter } from '../scope/storage.ts'
import { scopeOf } from '../scope/lookup.ts'
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
 * The onRequest hook that opens the scope of a request: its seeds, and all that follows, are within it.
 *
 * @param reenter whether functions of Fastify and Node are replaced, so that the request re-enters its scope
 * @param undo gets what reverts that
 */
export function openOnRequest (definition: object, registration: Registration, responseHeader: string | undefined, reenter: boolean, undo: Undo): OnRequest {
  return markOpener(function fastifyCtxOnRequest (request, reply, done) {
    const around = lifetimeOf(request)
    // Registered in a plugin and later around it, or handed to the router again: the request has its scope of this context already.
    if (around !== undefined && scopeOf(definition, around.scope) !== undefined) {
      if (responseHeader !== undefined) reply.header(responseHeader, request.id)
      return done()
    }

    const lifetime = around ?? new RequestLifetime(reply)
    const scope = new Scope(definition, registration, undefined, around?.scope, lifetime)
    lifetime.open(scope)
    // A generator that was set after the plugin is not checked yet.
    if (!isSafeId(request.id)) request.id = checkedId(request.id)
    scope.store.requestId = request.id
    scope.log = request.log
    const { headers } = request.raw
    openTrace(scope, request, headers)
    const route = routeContext(request)
    // Fastify makes this object for each reading, so it is asked only where the route itself is not found.
    const { config, handlerTimeout = 0 } = route ?? (request.routeOptions as Pick<RouteContext, 'config' | 'handlerTimeout'>)
    scope.route = config?.url
    if (route !== undefined) checkLast(route)
    if (around === undefined) {
      noteOutside(currentStore())
      setLifetime(request.raw, lifetime)
      setLifetime(reply.raw, lifetime)
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
    enter(scope.store, seed, scope, request, 0, done)
  })
}

/** Whether the client left before the scope opened: in a slow hook before the plugin, or in a slow `serverFactory`. */
function isGone ({ raw }: FastifyRequest, reply: FastifyReply): boolean {
  if (raw.aborted) return true
  // HTTP/2 has a stream for each request, HTTP/1 a socket for all of a connection.
  const { stream } = reply.raw as { readonly stream?: { readonly destroyed: boolean } }
  if (stream !== undefined) return stream.destroyed
  // A websocket that a test opens by injectWS has no socket.
  const { socket } = raw as { readonly socket?: { readonly destroyed: boolean } }
  return reply.raw.destroyed || socket?.destroyed === true
}

/** A route's `handlerTimeout` limits the scope. Its signal is older than the scope, and is aborted for other reasons, too. */
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

/** Reads the seeds from the one at `from`, in turn: each may read the keys before its own. */
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

/** Waits for a seed, and reads those after it. A function of its own: its callbacks would be made for each seed that nobody waits for. */
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

/** Fastify takes a hook that fails with nothing for one that went well. */
function asError (error: unknown, name: string): Error {
  return (error || Object.assign(new FST_CTX_SEED_FAILED(name), { cause: error })) as Error
}
