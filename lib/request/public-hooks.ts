import type { FastifyInstance, FastifyReply, FastifyRequest, HookHandlerDoneFunction, RouteOptions } from 'fastify'
import { resumeWithin } from '../lifecycle/reentry.ts'
import { lifetimeOf } from '../lifecycle/carrier.ts'
import type { RequestLifetime } from '../lifecycle/request-lifetime.ts'

/** How a request continues in its scope, and ends, if nothing is replaced: with public hooks and events. */

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

/** Whether a route must have nothing replaced. */
export function optsOut (config: unknown): boolean {
  return (config as { readonly context?: { readonly reenter?: unknown } } | undefined)?.context?.reenter === false
}

/** Ends a request whose connection is lost, or that was hijacked. onResponse is not called for them. */
export function endWithReply ({ raw }: FastifyReply, lifetime: RequestLifetime): void {
  lifetime.watched = false
  raw.once('close', function fastifyCtxOnReplyClose () { lifetime.close(isComplete(raw)) })
}

/** Records the scope opened by an onRequest hook, before the body is read, because reading the body loses it. */
function fastifyCtxPreParsing (request: FastifyRequest, _reply: FastifyReply, _payload: unknown, done: HookHandlerDoneFunction): void {
  goOn(request, done)
}

/** A body that arrives later calls back outside the scope. */
function fastifyCtxPreValidation (request: FastifyRequest, _reply: FastifyReply, done: HookHandlerDoneFunction): void {
  goOn(request, done)
}

/** Ends the request. Hooks after this one run in its scope, even if the response ends in a turn of the connection. */
function fastifyCtxOnResponse (request: FastifyRequest, reply: FastifyReply, done: HookHandlerDoneFunction): void {
  lifetimeOf(request)?.close(isComplete(reply.raw))
  goOn(request, done)
}

function goOn (request: FastifyRequest, done: HookHandlerDoneFunction): void {
  const lifetime = lifetimeOf(request)
  if (lifetime === undefined) done()
  else resumeWithin(lifetime, done)
}

/** Whether the whole response was passed to the system. HTTP/2 also emits "finish" for a stream that was reset, so there the response must have ended too. */
function isComplete ({ writableEnded, writableFinished }: FastifyReply['raw']): boolean {
  return writableEnded && writableFinished
}
