import type { FastifyInstance } from 'fastify'
import { kLifetime } from '../common/symbols.ts'
import { lifetimeOf, type Carrying } from '../lifecycle/carrier.ts'
import { scopeOf } from '../scope/lookup.ts'
import type { Scope } from '../scope/scope.ts'

/**
 * Decorates requests with `ctx`, which is created on the first read, and with a place for their lifetime. Fastify sets such a place on
 * each request, so there is one for both.
 *
 * @param make creates the `ctx` of a request by the scope of its context; without one, a `ctx` that says why
 */
export function decorateCtx (instance: FastifyInstance, definition: object, make: (root: Scope | undefined) => object): void {
  instance.decorateRequest(kLifetime, null)
  instance.decorateRequest('ctx', {
    getter (this: Carrying) {
      const known = this[kLifetime]?.accessor
      return (known?.definition === definition ? known.access : accessOf(this, definition, make)) as Carrying['ctx']
    }
  })
}

function accessOf (request: Carrying, definition: object, make: (root: Scope | undefined) => object): object {
  const lifetime = lifetimeOf(request)
  const root = scopeOf(definition, lifetime?.scope)
  const access = make(root)
  // Before the scope opens it belongs to none, and is not kept.
  if (root !== undefined) lifetime!.accessor = { definition, access }
  return access
}
