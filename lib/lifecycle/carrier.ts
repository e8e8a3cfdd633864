import type { FastifyRequest } from 'fastify'
import type { RequestLifetime } from './request-lifetime.ts'

/**
 * Gives an object a private field by returning it from the constructor it inherits. So an object of Node.js carries its lifetime,
 * and `Object.keys`, `inspect` and spread copies do not show it. This costs a third of a WeakMap.
 */
const Given = function (object: object) { return object } as unknown as new (object: object) => object

class Carrier extends Given {
  #lifetime: RequestLifetime

  constructor (object: object, lifetime: RequestLifetime) {
    super(object)
    this.#lifetime = lifetime
  }

  static lifetimeOf (object: object): RequestLifetime | undefined {
    return #lifetime in object ? object.#lifetime : undefined
  }
}

/** The lifetime of a request, if a scope was opened for it. */
export function lifetimeOf (request: FastifyRequest): RequestLifetime | undefined {
  return Carrier.lifetimeOf(request.raw)
}

/** The lifetime that Node's request or response object carries. */
export function lifetimeOfRaw (raw: object): RequestLifetime | undefined {
  return Carrier.lifetimeOf(raw)
}

/** Attaches a lifetime to Node's request or response object. */
export function setLifetime (raw: object, lifetime: RequestLifetime): void {
  // eslint-disable-next-line no-new -- the field is the whole effect
  new Carrier(raw, lifetime)
}
