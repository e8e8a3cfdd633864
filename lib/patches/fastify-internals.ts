import type { FastifyInstance, FastifyRequest } from 'fastify'
import { symbolOf } from '../common/symbols.ts'

/**
 * Parts of Fastify that we need and that it does not export. Fastify stores them under symbols, which this file finds by their
 * descriptions, and no other file names. If one is not found, its feature works without it, as each function says. Delete a line
 * once Fastify exports the part.
 */

type Hook = (...args: any[]) => unknown

/** The part that we use of Fastify's data for a route: the functions that it will call. */
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

/** Fastify's data for the route of a request. Without it no hook is wrapped, and re-entry depends on Node. */
export function routeContext (request: FastifyRequest): RouteContext | undefined {
  kRouteContext ??= symbolOf(request, 'fastify.context')
  // Does not use `read`, whose single property access sees all kinds of objects and is slow. This runs for each request.
  return kRouteContext === undefined ? undefined : (request as object as Record<symbol, unknown>)[kRouteContext] as RouteContext | undefined
}

/** Fastify's data for the 404 handler of a route, which `reply.callNotFound()` calls. */
export function notFoundContext (context: RouteContext): RouteContext | undefined {
  if (!hasNotFoundContext(context)) return undefined
  return (read(context, kNotFound) ?? undefined) as RouteContext | undefined
}

/** Whether it is where we expect it. A 404 handler itself has none. */
export function hasNotFoundContext (context: RouteContext): boolean {
  kNotFound ??= symbolOf(context, 'fastify.404ContextKey')
  return kNotFound !== undefined
}

/** Fastify's data for an error handler: its function, and by its prototype the outer handlers. */
interface ErrorHandler { readonly func: Hook }

/**
 * The error handlers of a route, each wrapped, as a separate chain: Fastify's objects are shared by routes, and visible as
 * `instance.errorHandler`. `undefined` if there is only Fastify's own.
 */
export function wrappedErrorHandlers ({ errorHandler }: RouteContext, wrap: (handler: Hook) => Hook): object | undefined {
  const outer = typeof errorHandler !== 'object' || errorHandler === null ? null : Object.getPrototypeOf(errorHandler) as object | null
  // The outermost one is Fastify's.
  if (outer === null || outer === Object.prototype) return undefined
  const { func } = errorHandler as Partial<ErrorHandler>
  if (typeof func !== 'function') return undefined
  return Object.create(wrappedErrorHandlers({ errorHandler: outer } as RouteContext, wrap) ?? outer, { func: { value: wrap(func), writable: true, enumerable: true, configurable: true } }) as object
}

/** The object that writes Fastify's own lines. An application may replace it with the option `logController`. Fastify 5.0 to 5.9 has none. */
export function logController (instance: FastifyInstance): { requestIdLogLabel?: string } | undefined {
  return read(instance, symbolOf(instance, 'fastify.logController')) as { requestIdLogLabel?: string } | undefined
}

/** The name of the request id field on Fastify's lines. Without its log controller, the option of Fastify 5. */
export function requestIdLabel (instance: FastifyInstance): string {
  return logController(instance)?.requestIdLogLabel ?? instance.initialConfig.requestIdLogLabel ?? 'reqId'
}

/** Whether Fastify was given a generator of request ids. If its options are not found: no, and ids that look like its counter's are replaced. */
export function hasOwnIds (instance: FastifyInstance): boolean {
  const options = read(instance, symbolOf(instance, 'fastify.options')) as { genReqId?: unknown } | undefined
  return typeof options?.genReqId === 'function'
}
