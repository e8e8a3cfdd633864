/** Names of the members that `ctx` and `request.ctx` keep to themselves: symbols, so that a key may have any name. */
export const kCurrentStore: unique symbol = Symbol('fastify-ctx.here')
export const kScope: unique symbol = Symbol('fastify-ctx.scope')
export const kRequireScope: unique symbol = Symbol('fastify-ctx.open')
export const kDefinition: unique symbol = Symbol('fastify-ctx.owner')
export const kEntryPoints: unique symbol = Symbol('fastify-ctx.entrances')

/** The symbol of the given description that an object or one of its prototypes has. */
export function symbolOf (object: object, description: string): symbol | undefined {
  for (let holder: object | null = object; holder !== null; holder = Object.getPrototypeOf(holder) as object | null) {
    const found = Object.getOwnPropertySymbols(holder).find((symbol) => symbol.description === description)
    if (found !== undefined) return found
  }
  return undefined
}
