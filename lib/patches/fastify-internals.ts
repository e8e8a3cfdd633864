import type { FastifyInstance, FastifyRequest } from 'fastify'
import { symbolOf } from '../common/symbols.ts'

/**
 * What we need of Fastify and it does not export. Fastify keeps it under symbols, which are found here by their
 * descriptions and used nowhere else by name. Where one is not found, the feature that needs it does without, as each
 * function says. A line may be deleted on the day Fastify exports the thing.
 */

type Hook = (...args: any[]) => unknown

/** The part that we use of what Fastify keeps for each route: the functions it will call. */
export interface RouteContext {
  readonly server: FastifyInstance
  readonly config: { readonly url?: string } | undefined
  handler: Hook
  readonly handlerTimeout: number
  [hook: string]: unknown
}

function read (object: object, symbol: symbol | undefined): unknown {
  return symbol === undefined ? undefined : (object as Record<symbol, unknown>)[symbol]
}

let kRouteContext: symbol | undefined
let kNotFound: symbol | undefined

/** What Fastify keeps for the route of a request. Without it no hook is guarded: re-entry is left to Node. */
export function routeContext (request: FastifyRequest): RouteContext | undefined {
  kRouteContext ??= symbolOf(request, 'fastify.context')
  // Without `read`, whose one place of access for all kinds of objects is slow: this is asked for each request.
  return kRouteContext === undefined ? undefined : (request as object as Record<symbol, unknown>)[kRouteContext] as RouteContext | undefined
}

/** What Fastify keeps for the 404 handler of a route, reached by `reply.callNotFound()`. */
export function notFoundContext (context: RouteContext): RouteContext | undefined {
  kNotFound ??= symbolOf(context, 'fastify.404ContextKey')
  return (read(context, kNotFound) ?? undefined) as RouteContext | undefined
}

/** The name of the field that carries the request id on Fastify's lines. Without its log controller: Fastify 5's option. */
export function requestIdLabel (instance: FastifyInstance): string {
  const controller = read(instance, symbolOf(instance, 'fastify.logController')) as { requestIdLogLabel?: string } | undefined
  return controller?.requestIdLogLabel ?? instance.initialConfig.requestIdLogLabel ?? 'reqId'
}
