import type { FastifyInstance, FastifyReply, FastifyRequest, HookHandlerDoneFunction, RouteOptions } from 'fastify'
import { FST_CTX_INVALID_OPTION, FST_CTX_MISSING } from '../common/errors.ts'
import type { RouteContext } from '../patches/fastify-internals.ts'
import { DEFAULT_MISSING_STATUS, type Policy } from '../config/key-policies.ts'
import { lifeOf } from '../lifecycle/request-lifetime.ts'
import { scopeOf } from '../scope/lookup.ts'

/** What a route's `config.context` may say. */
export interface RequiredKeys { readonly require?: readonly string[] }

/**
 * Checks what the routes that are added from now on require.
 *
 * @throws FST_CTX_INVALID_OPTION a route requires what is no key
 */
export function checkRoutes (instance: FastifyInstance, policy: Policy): void {
  instance.addHook('onRoute', function fastifyCtxOnRoute ({ config, url }: RouteOptions) {
    const mistake = mistakeIn(requiredBy(config), url, policy)
    if (mistake !== undefined) throw invalid(mistake)
  })
}

/**
 * Makes a route answer for the keys it requires: where one is not set, with its `missing` status, after all preHandler
 * hooks. Done at the first request of the route, when the hooks of everyone are known. A route that was added before the
 * plugin, and requires what is no key, is found out then: nothing tells of it earlier, and the client is not to blame.
 */
export function requireKeys (route: RouteContext, owner: object, policy: Policy): void {
  const required = requiredBy(route.config)
  const mistake = mistakeIn(required, String(route.config?.url), policy)
  if (mistake === undefined && required.length === 0) return
  const hooks = (route.preHandler ?? []) as readonly unknown[]
  route.preHandler = [...hooks, mistake === undefined ? checkRequired(owner, policy, required) : refuse(mistake)]
}

/** What the types ask for, and what JavaScript gives is checked to be. */
function requiredBy (config: unknown): readonly string[] {
  return (config as { readonly context?: RequiredKeys } | undefined)?.context?.require ?? []
}

/** What is wrong about what a route requires. */
function mistakeIn (required: readonly unknown[], url: string, { names }: Policy): string | undefined {
  if (!Array.isArray(required)) return `of ${url} takes a list of keys: ['tenant']`
  const wrong = (required as unknown[]).findIndex((name) => name !== 'requestId' && !names.has(name as string))
  return wrong === -1 ? undefined : `of ${url} names '${String(required[wrong])}', which is no key: correct the name, or declare it`
}

function invalid (mistake: string): Error {
  return new FST_CTX_INVALID_OPTION('config.context.require', mistake)
}

function refuse (mistake: string) {
  return function fastifyCtxRefuse (_request: FastifyRequest, _reply: FastifyReply, done: HookHandlerDoneFunction): void { done(invalid(mistake)) }
}

function checkRequired (owner: object, policy: Policy, required: readonly string[]) {
  return function fastifyCtxRequire (request: FastifyRequest, _reply: FastifyReply, done: HookHandlerDoneFunction): void {
    const scope = scopeOf(owner, lifeOf(request)?.scope)
    const name = required.find((name) => scope?.store[name] === undefined)
    if (name === undefined) done()
    else done(Object.assign(new FST_CTX_MISSING(name), { statusCode: policy.missing.get(name) ?? DEFAULT_MISSING_STATUS }))
  }
}
