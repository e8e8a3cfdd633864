import { isDeepStrictEqual } from 'node:util'
import { requestContext } from '@fastify/request-context'
import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { drain, logAbandoned } from './lifecycle/detached.ts'
import { requestContextOf, type RequestContext } from './api/request-context.ts'
import { ownOptions } from './common/own-options.ts'
import { FST_CTX_ALREADY_REGISTERED, FST_CTX_DECORATED, FST_CTX_INVALID_OPTION, FST_CTX_REQUEST_CONTEXT_REGISTERED, FST_CTX_REQUEST_ID_HEADER } from './common/errors.ts'
import { hasOwnIds, requestIdLabel } from './patches/fastify-internals.ts'
import { idOfRaw } from './patches/id-generators.ts'
import { patchApplication, patchLoggers, type Undo } from './patches/index.ts'
import type { KeyPolicy, Seed } from './config/key.ts'
import { checkFields } from './logging/correlate.ts'
import { attributeWriter } from './logging/fields.ts'
import type { ContextDefinition } from './lifecycle/context-definition.ts'
import { checkIdHeader } from './config/key-policies.ts'
import { DEFAULT_HEADER, isChecked, isCounter, idPattern, requestIds, responseHeader, type RequestIdOptions, type RequestIds } from './config/request-id.ts'
import { decorateCtx } from './request/decorate-ctx.ts'
import { openOnRequest } from './request/open-scope.ts'
import { addPublicHooks, addRouteHooks } from './request/public-hooks.ts'
import { checkRoutes } from './request/required-keys.ts'
import { refuseUncovered } from './request/uncovered-routes.ts'
import type { Registration, Scope } from './scope/scope.ts'
import { CREATE_OPTIONS, type LateOptions } from './config/options.ts'
import { checkRequestContext } from './scope/copies.ts'
import { registrationsOf } from './scope/registrations.ts'
import { currentScope } from './scope/storage.ts'
import { Stores } from './scope/stores.ts'
import type { ContextValues, RequestValues, RequiredKeys, ValueOf, WritableKeyOf } from './types.ts'
import { kRegistered } from './common/symbols.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The context of this request: its keys as properties, and the methods of `ctx` for this request. */
    readonly ctx: RequestContext<RequestValues>
  }
  interface FastifyContextConfig {
    /** `require`: keys without which the route's handler is not called. `reenter: false`: nothing of Fastify and Node is replaced for this route. */
    context?: { readonly require?: RequiredKeys<RequestValues>, readonly reenter?: boolean }
  }
}

/** Options of the plugin of a custom context: `app.register(ctx.plugin, options)`. Those of `LateOptions` apply to this application. */
export interface ContextOptions extends LateOptions {
  /** The source of the request id, and the response header that returns it. */
  readonly requestId?: RequestIdOptions
  /** How long `app.close()` waits for detached work and for the callbacks of `ctx.onEnd`, in milliseconds. Default 10,000. */
  readonly closeTimeout?: number
  /**
   * `false`: replaces nothing of Fastify and Node except the log wiring. The scope is opened, re-entered after the body and
   * ended with public hooks only, so code that a shared callback calls may run outside it. Default `true`.
   */
  readonly reenter?: boolean
}

/** Options of the ready-made context: `app.register(context, options)`. */
export interface ReadyMadeOptions extends ContextOptions {
  /** The policies of keys of `ContextValues`. A function is short for `{ seed }`. */
  readonly keys?: { readonly [K in WritableKeyOf<ContextValues>]?: Seed<ValueOf<ContextValues, K> | undefined> | KeyPolicy<ValueOf<ContextValues, K>> }
}

/** The options of register that do not apply to a context without an application. */
const REGISTER_OPTIONS: ReadonlySet<string> = new Set(['requestId', 'closeTimeout', 'reenter'])

/** Options that Fastify adds to those of a plugin. */
const FASTIFY_OPTIONS: ReadonlySet<string> = new Set(['prefix', 'logLevel', 'logSerializers'])

/** The default time that closing waits for work, in milliseconds. */
const CLOSE_TIMEOUT = 10_000

/** An instance, with the contexts registered in it or in a parent. */
export interface Registered extends FastifyInstance { [kRegistered]?: ReadonlyMap<ContextDefinition, ContextOptions> }

/** A property that avvio gives each instance, and the types omit. */
interface Closing extends FastifyInstance { onClose (fn: () => Promise<void>): void }

/** Creates the plugin of a context: turns its options into hooks, decorators and correlated loggers. */
export function pluginOf<O extends ContextOptions> (definition: ContextDefinition): FastifyPluginAsync<O> {
  const plugin: FastifyPluginAsync<O> = async function fastifyCtx (instance, options) { register(definition, instance, options) }
  return fp(plugin, { name: 'fastify-ctx', fastify: '5.x' })
}

function register (definition: ContextDefinition, instance: Registered, given: ContextOptions): void {
  const options = readRegisterOptions(given, definition)
  const registered = instance[kRegistered]
  const before = registered?.get(definition)
  if (before !== undefined) {
    const others = Object.keys({ ...before, ...options }).filter((name) => !isDeepStrictEqual(options[name as keyof ContextOptions], before[name as keyof ContextOptions]))
    if (Object.keys(options).length === 0 || others.length === 0) return
    throw new FST_CTX_ALREADY_REGISTERED(others.join("', '"))
  }
  const { requestId: givenIds = {} } = options
  const requestId = ownOptions(givenIds)
  const { policy, settings } = definition.rulesFor(options)
  const idLabel = requestIdLabel(instance)
  const ids = requestIds(requestId, inheritedIds(instance), idOfRaw)
  const idHeader = (requestId.header || DEFAULT_HEADER).toLowerCase()
  checkIdHeader(idHeader, policy)
  checkFields(instance.log, policy, idLabel)
  if (registered === undefined && instance.hasRequestDecorator('ctx')) throw new FST_CTX_DECORATED()
  const undo: Undo = []
  patchLoggers(instance, registered === undefined, undo)
  if (registered === undefined) decorateRequestContext(instance)
  checkRequestContext()

  const registration: Registration = {
    policy, stores: new Stores(policy), settings, idLabel, log: instance.log, idHeader, idPattern: idPattern(requestId), pending: new Set(), onWrite: attributeWriter(settings.tracing)
  }
  definition.register(registration)
  registrationsOf(instance.server).add(registration)
  closeAfterWork(instance as Closing, definition, registration, options.closeTimeout ?? CLOSE_TIMEOUT, undo)
  instance[kRegistered] = new Map(registered).set(definition, options)
  // A second context next to the first one uses its ids, unless it has its own options for them.
  const { header, pattern, generate } = requestId
  if (registered === undefined || (header ?? pattern ?? generate) !== undefined) instance.setGenReqId(ids)
  if (!instance.hasRequestDecorator('ctx')) {
    decorateCtx(instance, definition, requestContextOf(definition, policy.names, definition.keys === undefined))
    checkRoutes(instance, definition, policy)
    refuseUncovered(instance, (instance: Registered) => instance[kRegistered] !== undefined)
  }
  const { reenter = true } = options
  if (reenter) reenterScopes(instance, ![...registered?.values() ?? []].some(({ reenter = true }) => reenter), undo)
  instance.addHook('onRequest', openOnRequest(definition, registration, responseHeader(requestId), reenter, undo))
  if (!reenter) addPublicHooks(instance)
}

function reenterScopes (instance: FastifyInstance, isFirst: boolean, undo: Undo): void {
  let refused = false
  const refuses = (method: string, name: string): boolean => {
    // In a child, Fastify allows another `ctx`. It would replace ours, or throw when Fastify creates a request, which ends the process.
    if (name === 'ctx' && method === 'decorateRequest') throw new FST_CTX_DECORATED()
    if (name !== 'requestContext') return false
    // `@fastify/request-context` decorates in a callback, where nobody catches a throw. So the start of the application fails instead.
    if (!refused) instance.addHook('onReady', async function fastifyCtxOnReady () { throw new FST_CTX_REQUEST_CONTEXT_REGISTERED() })
    refused = true
    return true
  }
  patchApplication(instance, isFirst, refuses, undo)
  if (isFirst) addRouteHooks(instance)
}

function readRegisterOptions (given: ContextOptions, definition: ContextDefinition): ReadyMadeOptions {
  const options = ownOptions(Object.fromEntries(Object.entries(given).filter(([name]) => !FASTIFY_OPTIONS.has(name)))) as ReadyMadeOptions
  for (const name of Object.keys(options)) {
    if (REGISTER_OPTIONS.has(name) || CREATE_OPTIONS.has(name)) continue
    if (name !== 'keys') throw new FST_CTX_INVALID_OPTION(name, `does not exist: register takes ${[...REGISTER_OPTIONS, ...CREATE_OPTIONS].join(', ')}, and for the ready-made context keys`)
    if (definition.keys !== undefined) throw new FST_CTX_INVALID_OPTION(name, 'belongs to createContext(), because this context declares its keys there')
  }
  const { closeTimeout, reenter = true } = options
  if (closeTimeout !== undefined && !(Number.isFinite(closeTimeout) && closeTimeout >= 0)) throw new FST_CTX_INVALID_OPTION('closeTimeout', 'takes a number of milliseconds, 0 or more')
  if (typeof reenter !== 'boolean') throw new FST_CTX_INVALID_OPTION('reenter', 'takes true or false')
  return options
}

/** The generator that was given to Fastify; `undefined` for Fastify's own, whose ids are unique in one process only, and for ours. */
function inheritedIds (instance: FastifyInstance): RequestIds | undefined {
  const { requestIdHeader } = instance.initialConfig
  if (requestIdHeader) throw new FST_CTX_REQUEST_ID_HEADER(String(requestIdHeader), String(requestIdHeader))
  const { genReqId } = instance as FastifyInstance & { readonly genReqId: RequestIds }
  return isChecked(genReqId) || (isCounter(genReqId) && !hasOwnIds(instance)) ? undefined : genReqId
}

/** Waits for detached work after the last request, and before the hooks that close what such work uses. */
function closeAfterWork (instance: Closing, definition: ContextDefinition, registration: Registration, timeout: number, undo: Undo): void {
  let closer: Scope | undefined
  instance.addHook('preClose', async () => {
    closer = currentScope()
    // The hook added last runs first, once the server is closed.
    instance.onClose(async () => { await drain(registration, Date.now() + timeout, closer) })
  })
  instance.addHook('onClose', async () => {
    logAbandoned(registration, closer)
    definition.unregister(registration)
    for (const revert of undo.reverse()) revert()
  })
}

/** `fastify.requestContext` and `request.requestContext`, as in `@fastify/request-context`. */
function decorateRequestContext (instance: FastifyInstance): void {
  if (instance.hasDecorator('requestContext')) throw new FST_CTX_REQUEST_CONTEXT_REGISTERED()
  instance.decorate('requestContext', requestContext)
  instance.decorateRequest('requestContext', { getter: () => requestContext })
}
