import type { FastifyInstance, FastifyReply, FastifyRequest, HookHandlerDoneFunction, RouteOptions } from 'fastify'
import { FST_CTX_INVALID_OPTION, FST_CTX_MISSING } from '../common/errors.ts'
import type { RouteContext } from '../patches/fastify-internals.ts'
import { keepWhenBound } from '../patches/opener.ts'
import { DEFAULT_MISSING_STATUS, type Policy } from '../config/key-policies.ts'
import { lifetimeOf } from '../lifecycle/carrier.ts'
import { scopeOf } from '../scope/lookup.ts'
import { currentScope } from '../scope/storage.ts'

/** The options in a route's `config.context`. `reenter` is read where hooks are wrapped. */
const ROUTE_OPTIONS: ReadonlySet<string> = new Set(['require', 'reenter'])

/** avvio's callback between the loading of plugins, with the argument that the types omit. */
type Booting = Omit<FastifyInstance, 'after'> & { after (fn: (error: Error | undefined, done: (error?: Error) => void) => void): void }

type Check = (request: FastifyRequest, reply: FastifyReply, done: HookHandlerDoneFunction) => void

/**
 * The `config.context` of routes whose own preHandler hooks include their check. Each is a copy for one route, because routes may
 * share the original object, and only some of them may have their check.
 */
const checked = new WeakSet<object>()

/** The instance hooks that check routes which `onRoute` did not see. */
const lateChecks = new WeakSet<object>()

/** The lists of preHandler hooks that end with such a check. */
const ordered = new WeakSet<object>()
let hasLateChecks = false

/**
 * Refuses requests without a key that their route requires. It uses public hooks only, so that no private symbol and no patch
 * decides about it. The check of a route added from now on is the last of its preHandler hooks.
 *
 * `onRoute` is not called for routes added earlier, for example after a registration without `await`. An instance hook checks
 * these. It runs before hooks that are added after the plugin, unless `checkLast` can move it.
 *
 * @throws FST_CTX_INVALID_OPTION a route's `config.context` is wrong
 */
export function checkRoutes (instance: FastifyInstance, definition: object, policy: Policy): void {
  instance.addHook('onRoute', function fastifyCtxOnRoute (this: FastifyInstance, route: RouteOptions) {
    const mistake = mistakeIn(route.config, route.url, policy)
    if (mistake !== undefined) throw mistake
    if (requiredBy(route.config).length > 0) {
      const own = { ...contextOf(route.config) as object }
      route.config = { ...route.config, context: own } as NonNullable<RouteOptions['config']>
      checked.add(own)
    }
    // Later onRoute hooks may add hooks and required keys to the route. Fastify reads its hooks after this.
    (this as Booting).after((error, done) => {
      const required = requiredBy(route.config)
      if (required.length > 0) route.preHandler = [route.preHandler ?? [], checkOf(definition, policy, required)].flat() as NonNullable<RouteOptions['preHandler']>
      done(error ?? mistakeIn(route.config, route.url, policy))
    })
  })
  if (instance.printRoutes() !== '(empty tree)') instance.addHook('preHandler', lateCheck(definition, policy))
}

/**
 * Moves the check of a route that `onRoute` did not see behind the route's other hooks. If Fastify has no such list, it stays in
 * its place, and refuses keys that are not set by then.
 */
export function checkLast (route: RouteContext): void {
  const hooks = route.preHandler
  if (!hasLateChecks || !Array.isArray(hooks) || ordered.has(hooks)) return
  const at = hooks.findIndex((hook: object) => lateChecks.has(hook))
  if (at !== -1) hooks.push(...hooks.splice(at, 1) as unknown[])
  ordered.add(hooks)
}

function lateCheck (definition: object, policy: Policy): Check {
  const checks = new WeakMap<object, Check>()
  function fastifyCtxRequireLate (request: FastifyRequest, reply: FastifyReply, done: HookHandlerDoneFunction): void {
    const config = request.routeOptions.config as object | undefined
    const context = contextOf(config)
    if (context === undefined || checked.has(context as object)) return done()
    let check = checks.get(config!)
    if (check === undefined) {
      const mistake = mistakeIn(config, request.routeOptions.url, policy)
      check = mistake === undefined ? checkOf(definition, policy, requiredBy(config)) : (_request, _reply, done) => { done(mistake) }
      checks.set(config!, check)
    }
    check(request, reply, done)
  }
  lateChecks.add(fastifyCtxRequireLate)
  hasLateChecks = true
  // Keep the same function, so that it is found again.
  return keepWhenBound(fastifyCtxRequireLate)
}

function checkOf (definition: object, policy: Policy, required: readonly string[]): Check {
  return function fastifyCtxRequire (request, _reply, done) {
    const name = required.find((name) => isMissing(valueOf(definition, request, name)))
    if (name === undefined) done()
    else done(Object.assign(new FST_CTX_MISSING(name), { statusCode: policy.missing.get(name) ?? DEFAULT_MISSING_STATUS }))
  }
}

/** The value that the handler would read: that of the innermost scope of this request. */
function valueOf (definition: object, request: FastifyRequest, name: string): unknown {
  const lifetime = lifetimeOf(request)
  if (lifetime === undefined) return undefined
  const current = currentScope()
  return scopeOf(definition, current?.root.lifetime === lifetime ? current : lifetime.scope)?.store[name]
}

/** An empty header, or a column without a value, is not a tenant. */
function isMissing (value: unknown): boolean {
  return value === undefined || value === null || value === ''
}

function contextOf (config: unknown): unknown {
  return (config as { readonly context?: unknown } | undefined)?.context
}

/** The keys that a route requires. The types require a list, which `mistakeIn` checks. */
export function requiredBy (config: unknown): readonly string[] {
  return (contextOf(config) as { readonly require?: readonly string[] } | undefined)?.require ?? []
}

/** What is wrong with a route's `config.context`. A typo there would leave the route unprotected. */
function mistakeIn (config: unknown, url: string | undefined, { names }: Policy): Error | undefined {
  const context = contextOf(config)
  if (context === undefined) return undefined
  if (typeof context !== 'object' || context === null || Array.isArray(context)) return new FST_CTX_INVALID_OPTION('config.context', `of ${url} takes an object: { require: ['tenant'] }`)
  const unknown = Object.keys(context).find((name) => !ROUTE_OPTIONS.has(name))
  if (unknown !== undefined) return new FST_CTX_INVALID_OPTION(`config.context.${unknown}`, `of ${url} does not exist: config.context takes ${[...ROUTE_OPTIONS].join(', ')}`)
  const { reenter = true } = context as { readonly reenter?: unknown }
  if (typeof reenter !== 'boolean') return new FST_CTX_INVALID_OPTION('config.context.reenter', `of ${url} takes true or false`)
  const required = requiredBy(config) as readonly unknown[]
  if (!Array.isArray(required)) return new FST_CTX_INVALID_OPTION('config.context.require', `of ${url} takes a list of keys: ['tenant']`)
  const keys = ['requestId', ...names]
  const wrong = (required as unknown[]).findIndex((name) => !keys.includes(name as string))
  if (wrong === -1) return undefined
  return new FST_CTX_INVALID_OPTION('config.context.require', `of ${url} names '${String(required[wrong])}', which is not a key: the keys are '${keys.join("', '")}'`)
}
