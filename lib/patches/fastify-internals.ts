import type { FastifyInstance, FastifyRequest } from 'fastify'

/**
 * What we need of Fastify and pino and they do not export: kept under symbols, found here by the symbols' descriptions,
 * and used nowhere else by name. Where one is not found, the feature that needs it does without, as each function says.
 * A line may be deleted on the day its library exports the thing.
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

/** The symbol of the given description that an object or one of its prototypes has. */
export function symbolOf (object: object, description: string): symbol | undefined {
  for (let holder: object | null = object; holder !== null; holder = Object.getPrototypeOf(holder) as object | null) {
    const found = Object.getOwnPropertySymbols(holder).find((symbol) => symbol.description === description)
    if (found !== undefined) return found
  }
  return undefined
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

/** A pino logger as its write sees it. */
export interface PinoLogger {
  [symbol: symbol]: unknown
  setBindings (bindings: object): void
}

/** What writes a line of a pino logger. */
export type PinoWrite = (this: PinoLogger, object: unknown, message: string | undefined, level: number) => void

/** The symbols under which one copy of pino keeps what its loggers share, by what we call them and by how it describes them. */
const PINO = {
  write: 'write',
  bindings: 'chindings',
  mixin: 'mixin',
  nestedKey: 'nestedKey',
  messageKey: 'messageKey',
  errorKey: 'errorKey',
  levels: 'lsCache',
  time: 'time',
  stream: 'stream',
  serializers: 'serializers',
  stringifiers: 'stringifiers'
} as const

export type PinoSymbols = { readonly [K in keyof typeof PINO]: symbol }

const pinos = new WeakMap<object, PinoSymbols | undefined>()

/** The symbols of the pino that made a logger; `undefined` for a logger that is no pino. */
export function pinoSymbols (logger: object): PinoSymbols | undefined {
  // Each copy of pino gives its loggers a constructor of its own.
  const copy: unknown = logger.constructor
  if (typeof copy !== 'function') return undefined
  if (!pinos.has(copy)) pinos.set(copy, findPinoSymbols(logger))
  return pinos.get(copy)
}

function findPinoSymbols (logger: object): PinoSymbols | undefined {
  const symbols = Object.entries(PINO).map(([name, description]) => [name, symbolOf(logger, `pino.${description}`)] as const)
  return symbols.every(([, symbol]) => symbol !== undefined) ? Object.fromEntries(symbols) as PinoSymbols : undefined
}

/** pino's formatters, which it keeps under a public symbol. */
export const kFormatters: unique symbol = Symbol.for('pino.formatters') as never

/** Marks a stream that is told more of each line than its text. */
export const kNeedsMetadata: unique symbol = Symbol.for('pino.metadata') as never
