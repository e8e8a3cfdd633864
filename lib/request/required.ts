import type { FastifyInstance, FastifyReply, FastifyRequest, HookHandlerDoneFunction, RouteOptions } from 'fastify'
import { FST_CTX_INVALID_OPTION, FST_CTX_MISSING } from '../errors.ts'
import { MISSING } from '../explain.ts'
import type { Policy } from '../key.ts'
import { scopeOf } from '../scope.ts'
import { lifeOf } from './end.ts'

/** What a route's `config.context` may say. */
export interface RequiredKeys { readonly require?: readonly string[] }

/**
 * Makes the routes that are added from now on answer for the keys they require: after all preHandler hooks, where one is
 * not set, with its `missing` status.
 *
 * @throws FST_CTX_INVALID_OPTION a route requires what is no key
 */
export function requireKeys (instance: FastifyInstance, owner: object, policy: Policy): void {
  instance.addHook('onRoute', function fastifyCtxOnRoute (route: RouteOptions) {
    const required = readRequired(route, policy)
    if (required.length === 0) return
    const before = route.preHandler === undefined ? [] : [route.preHandler].flat()
    route.preHandler = [...before, checkRequired(owner, policy, required)]
  })
}

function readRequired (route: RouteOptions, policy: Policy): readonly string[] {
  const { require: required = [] } = (route.config as { context?: RequiredKeys } | undefined)?.context ?? {}
  if (!Array.isArray(required)) throw new FST_CTX_INVALID_OPTION('config.context.require', 'takes a list of keys')
  for (const name of required as unknown[]) {
    if (name !== 'requestId' && !policy.names.has(String(name))) throw new FST_CTX_INVALID_OPTION('config.context.require', `of ${route.url} names '${String(name)}', which is no key`)
  }
  return required
}

function checkRequired (owner: object, policy: Policy, required: readonly string[]) {
  return function fastifyCtxRequire (request: FastifyRequest, _reply: FastifyReply, done: HookHandlerDoneFunction): void {
    const scope = scopeOf(owner, lifeOf(request)?.scope)
    const name = required.find((name) => scope?.store[name] === undefined)
    if (name === undefined) done()
    else done(Object.assign(new FST_CTX_MISSING(name), { statusCode: policy.missing.get(name) ?? MISSING }))
  }
}
