import type { FastifyInstance, FastifyReply, FastifyRequest, HookHandlerDoneFunction, RouteOptions } from 'fastify'
import { FST_CTX_INVALID_OPTION, FST_CTX_MISSING } from '../errors.ts'
import { MISSING } from '../explain.ts'
import type { RouteContext } from '../internals.ts'
import type { Policy } from '../policy.ts'
import { lifeOf } from './end.ts'
import { scopeOf } from '../surroundings.ts'

/** What a route's `config.context` may say. */
export interface RequiredKeys { readonly require?: readonly string[] }

/**
 * Checks what the routes that are added from now on require.
 *
 * @throws FST_CTX_INVALID_OPTION a route requires what is no key
 */
export function checkRoutes (instance: FastifyInstance, policy: Policy): void {
  instance.addHook('onRoute', function fastifyCtxOnRoute ({ config, url }: RouteOptions) {
    const required: unknown = requiredBy(config)
    if (!Array.isArray(required)) throw new FST_CTX_INVALID_OPTION('config.context.require', `of ${url} takes a list of keys`)
    for (const name of required as unknown[]) {
      if (name !== 'requestId' && !policy.names.has(name as string)) {
        throw new FST_CTX_INVALID_OPTION('config.context.require', `of ${url} names '${String(name)}', which is no key: declare it`)
      }
    }
  })
}

/**
 * Makes a route answer for the keys it requires: where one is not set, with its `missing` status, after all preHandler
 * hooks. Done at the first request of the route, when the hooks of everyone are known.
 */
export function requireKeys (route: RouteContext, owner: object, policy: Policy): void {
  const required = requiredBy(route.config)
  if (required.length === 0) return
  const hooks = (route.preHandler ?? []) as readonly unknown[]
  route.preHandler = [...hooks, checkRequired(owner, policy, required)]
}

function requiredBy (config: unknown): readonly string[] {
  return (config as { readonly context?: RequiredKeys } | undefined)?.context?.require ?? []
}

function checkRequired (owner: object, policy: Policy, required: readonly string[]) {
  return function fastifyCtxRequire (request: FastifyRequest, _reply: FastifyReply, done: HookHandlerDoneFunction): void {
    const scope = scopeOf(owner, lifeOf(request)?.scope)
    const name = required.find((name) => scope?.store[name] === undefined)
    if (name === undefined) done()
    else done(Object.assign(new FST_CTX_MISSING(name), { statusCode: policy.missing.get(name) ?? MISSING }))
  }
}
