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
  readonly config: { readonly url?: string, readonly context?: unknown } | undefined
  handler: Hook
  readonly handlerTimeout: number
  errorHandler: unknown
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
  if (!hasNotFoundContext(context)) return undefined
  return (read(context, kNotFound) ?? undefined) as RouteContext | undefined
}

/** Whether that is where we look for it: a 404 handler itself has none there. */
export function hasNotFoundContext (context: RouteContext): boolean {
  kNotFound ??= symbolOf(context, 'fastify.404ContextKey')
  return kNotFound !== undefined
}

/** What Fastify keeps for an error handler: its function, and by its prototype the handlers around it. */
interface ErrorHandler { readonly func: Hook }

/**
 * The error handlers of a route, each wrapped: a chain of our own, because Fastify's objects are shared by routes and
 * shown as `instance.errorHandler`. `undefined` where there is only Fastify's own.
 */
export function wrappedErrorHandlers ({ errorHandler }: RouteContext, wrap: (handler: Hook) => Hook): object | undefined {
  const outer = typeof errorHandler !== 'object' || errorHandler === null ? null : Object.getPrototypeOf(errorHandler) as object | null
  // The outermost is Fastify's.
  if (outer === null || outer === Object.prototype) return undefined
  const { func } = errorHandler as Partial<ErrorHandler>
  if (typeof func !== 'function') return undefined
  return Object.create(wrappedErrorHandlers({ errorHandler: outer } as RouteContext, wrap) ?? outer, { func: { value: wrap(func), writable: true, enumerable: true, configurable: true } }) as object
}

/** What writes Fastify's own lines, which an application may replace by the option `logController`. Fastify 5.0 to 5.9 has none. */
export function logController (instance: FastifyInstance): { requestIdLogLabel?: string } | undefined {
  return read(instance, symbolOf(instance, 'fastify.logController')) as { requestIdLogLabel?: string } | undefined
}

/** The name of the field that carries the request id on Fastify's lines. Without its log controller: Fastify 5's option. */
export function requestIdLabel (instance: FastifyInstance): string {
  return logController(instance)?.requestIdLogLabel ?? instance.initialConfig.requestIdLogLabel ?? 'reqId'
}

/** Whether Fastify was given a generator of request ids. Without its options: no, then ids of a counter like its own are made new. */
export function hasOwnIds (instance: FastifyInstance): boolean {
  const options = read(instance, symbolOf(instance, 'fastify.options')) as { genReqId?: unknown } | undefined
  return typeof options?.genReqId === 'function'
}
