/** Our members of `ctx` and `request.ctx`. They are symbols, so that a key may have any name. */
export const kDefinition: unique symbol = Symbol('fastify-ctx.definition')
export const kCurrentStore: unique symbol = Symbol('fastify-ctx.currentStore')
export const kEntryPoints: unique symbol = Symbol('fastify-ctx.entryPoints')
export const kIsOpen: unique symbol = Symbol('fastify-ctx.isOpen')

/** The scope of a store. */
export const kScope: unique symbol = Symbol('fastify-ctx.scope')

/** Whether an emitter binds its listeners. */
export const kBound: unique symbol = Symbol('fastify-ctx.bound')

/** The request of a logger. */
export const kTie: unique symbol = Symbol('fastify-ctx.tie')

/** The lifetime of a request. */
export const kLifetime: unique symbol = Symbol('fastify-ctx.lifetime')

/** Whether the hooks of a route are wrapped. */
export const kWrapped: unique symbol = Symbol('fastify-ctx.wrapped')

/** The contexts of a Fastify instance. */
export const kRegistered: unique symbol = Symbol('fastify-ctx.registered')

/** The global registry of OpenTelemetry's API, which all its copies share. */
export const kOpenTelemetry: unique symbol = Symbol.for('opentelemetry.js.api.1') as never

/** The formatters of a pino logger. `pino.symbols` does not list it. */
export const kFormatters: unique symbol = Symbol.for('pino.formatters') as never

/** The registry in which copies and versions of this package find each other: a `Set` of file paths. */
export const kCopies: unique symbol = Symbol.for('fastify-ctx.copies') as never

/** The dispatcher of `fetch` in Node and undici. */
export const GLOBAL_DISPATCHERS: readonly symbol[] = [Symbol.for('undici.globalDispatcher.1'), Symbol.for('undici.globalDispatcher.2')]

/** Finds the symbol with this description among the properties of an object and its prototypes. */
export function symbolOf (object: object, description: string): symbol | undefined {
  for (let holder: object | null = object; holder !== null; holder = Object.getPrototypeOf(holder) as object | null) {
    const found = Object.getOwnPropertySymbols(holder).find((symbol) => symbol.description === description)
    if (found !== undefined) return found
  }
  return undefined
}
