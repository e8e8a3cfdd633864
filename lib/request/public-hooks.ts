import type { FastifyInstance, FastifyReply, FastifyRequest, HookHandlerDoneFunction, RouteOptions } from 'fastify'
import { resumeWithin } from '../lifecycle/reentry.ts'
import { lifetimeOf } from '../lifecycle/carrier.ts'
import type { RequestLifetime } from '../lifecycle/request-lifetime.ts'

/** How a request goes on in its scope, and ends, where nothing is replaced: by hooks and events that are public. */

/** Hooks of an application with `reenter: false`. */
export function addPublicHooks (instance: FastifyInstance): void {
  instance.addHook('preParsing', fastifyCtxPreParsing)
  instance.addHook('preValidation', fastifyCtxPreValidation)
  instance.addHook('onResponse', fastifyCtxOnResponse)
}

/** The same for the routes with `config: { context: { reenter: false } }` of any other application. */
export function addRouteHooks (instance: FastifyInstance): void {
  instance.addHook('onRoute', function fastifyCtxOnPublicRoute (route: RouteOptions) {
    if (!optsOut(route.config)) return
    const hooks = [route.preValidation ?? []].flat()
    if (!hooks.includes(fastifyCtxPreValidation)) route.preValidation = [fastifyCtxPreValidation, ...hooks]
  })
}

/** Whether a route is to have nothing replaced. */
export function optsOut (config: unknown): boolean {
  return (config as { readonly context?: { readonly reenter?: unknown } } | undefined)?.context?.reenter === false
}

/** Ends a request whose connection is lost, and one that was hijacked: onResponse is not called for them. */
export function endWithReply ({ raw }: FastifyReply, lifetime: RequestLifetime): void {
  lifetime.watched = false
  raw.once('close', function fastifyCtxOnReplyClose () { lifetime.close(isComplete(raw)) })
}

/** Notes a scope that was opened in an onRequest hook, before the body is read: what it was opened in is lost then. */
function fastifyCtxPreParsing (request: FastifyRequest, _reply: FastifyReply, _payload: unknown, done: HookHandlerDoneFunction): void {
  goOn(request, done)
}

/** A body that arrives later calls back outside the scope. */
function fastifyCtxPreValidation (request: FastifyRequest, _reply: FastifyReply, done: HookHandlerDoneFunction): void {
  goOn(request, done)
}

/** Ends the request. Hooks after this one run in its scope, though the answer is over in a turn that belongs to the connection. */
function fastifyCtxOnResponse (request: FastifyRequest, reply: FastifyReply, done: HookHandlerDoneFunction): void {
  lifetimeOf(request)?.close(isComplete(reply.raw))
  goOn(request, done)
}

function goOn (request: FastifyRequest, done: HookHandlerDoneFunction): void {
  const lifetime = lifetimeOf(request)
  if (lifetime === undefined) done()
  else resumeWithin(lifetime, done)
}

/** Whether the whole answer was handed to the system. HTTP/2 says "finished" of a stream that was reset, too: there the answer must have ended as well. */
function isComplete ({ writableEnded, writableFinished }: FastifyReply['raw']): boolean {
  return writableEnded && writableFinished
}
