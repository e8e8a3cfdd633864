import type { FastifyReply, FastifyRequest } from 'fastify'
import { kLifetime } from '../common/symbols.ts'
import type { RequestLifetime } from './request-lifetime.ts'

/**
 * Gives an object a private field by returning it from the constructor it inherits. So an object of Node.js carries its lifetime,
 * and `Object.keys`, `inspect` and spread copies do not show it. This is a class, because
 * V8 is slow to create objects of a class that extends a function.
 */
class Given {
  constructor (object: object) {
    // The object gets the field.
    return object
  }
}

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

/** A request with a place for its lifetime, where a read takes one step: objects of Node.js have many shapes, which makes reads slow. */
export interface Carrying extends FastifyRequest { [kLifetime]?: RequestLifetime | null }

/** Node's response, which refers to its request. */
type Response = object & { readonly req?: object }

/** The lifetime of a request, if a scope was opened for it, also when it is routed again as another object of Fastify. */
export function lifetimeOf (request: Carrying): RequestLifetime | undefined {
  return request[kLifetime] ?? Carrier.lifetimeOf(request.raw)
}

/** The lifetime that Node's request object carries. */
export function lifetimeOfRaw (raw: object): RequestLifetime | undefined {
  return Carrier.lifetimeOf(raw)
}

/** The lifetime of Node's response object: that of its request. */
export function lifetimeOfResponse (response: Response): RequestLifetime | undefined {
  const { req } = response
  return (req === undefined ? undefined : Carrier.lifetimeOf(req)) ?? Carrier.lifetimeOf(response)
}

/** Attaches a lifetime to the objects of a request. */
export function setLifetime (request: Carrying, { raw }: FastifyReply, lifetime: RequestLifetime): void {
  request[kLifetime] = lifetime
  attachTo(request.raw, lifetime)
  // A framework may have given one of them another partner.
  if (lifetimeOfResponse(raw) !== lifetime) attachTo(raw, lifetime)
}

function attachTo (raw: object, lifetime: RequestLifetime): void {
  // eslint-disable-next-line no-new -- the field is the whole effect
  new Carrier(raw, lifetime)
}
