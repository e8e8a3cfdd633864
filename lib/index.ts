/**
 * The plugin, the ready-made context, and a function that creates custom contexts.
 *
 * @module fastify-ctx
 */
import type { FastifyPluginAsync } from 'fastify'
import { Context } from './api/context.ts'
import type { ContextApi } from './api/context-api.ts'
import { FST_CTX_INVALID_OPTION } from './common/errors.ts'
import type { FreeNames, Keys, ValuesOfKeys } from './config/key.ts'
import { ContextDefinition, type AddedOptions } from './lifecycle/context-definition.ts'
import { patchFetch } from './patches/index.ts'
import { pluginOf, type ContextOptions, type ReadyMadeOptions } from './plugin.ts'
import { readKeys } from './config/key-policies.ts'
import { CREATE_OPTIONS, type CreateOptions, type LateOptions } from './config/options.ts'
import type { ContextValues, Own } from './types.ts'

/** A custom context: its methods, and the plugin that gives each request a scope of it. */
export interface OwnContext<V> extends ContextApi<V> {
  /** The plugin that gives each request a scope of this context: `app.register(ctx.plugin)`. */
  readonly plugin: FastifyPluginAsync<ContextOptions>
  /**
   * Gives the context options that are known late, in a process without an application, such as a worker or a script. In an application,
   * give them to `app.register(ctx.plugin, options)`.
   *
   * @throws FST_CTX_ALREADY_CONFIGURED it was called before, the context is registered, or a scope of it was opened
   * @throws FST_CTX_INVALID_OPTION an option is wrong, or was given to `createContext`
   * @example
   * ctx.configure({ envelope: { secrets: [await vault.read('envelopes')] } })
   */
  configure (options: LateOptions): void
}

/** The ready-made context. */
export interface ReadyMadeContext extends ContextApi<ContextValues> {
  /**
   * Gives the context its keys and options in a process without an application, such as a worker or a script. In an application, give
   * them to `app.register(context, options)`.
   *
   * @throws FST_CTX_ALREADY_CONFIGURED it was called before, the context is registered, or a scope of it was opened
   * @throws FST_CTX_INVALID_OPTION an option is wrong
   * @example
   * ctx.configure({ keys: { tenant: { carry: true } } })
   */
  configure (options: Pick<ReadyMadeOptions, 'keys' | keyof LateOptions>): void
}

/** The values of a context. `interface ContextValues extends ValuesOf<typeof ctx> {}` gives `request.ctx` their types. */
export type ValuesOf<C> = C extends ContextApi<infer V> ? V & Own<V> : never

/**
 * Creates a custom context. Its types are inferred from its keys. It also works without a server: `ctx.run(values, fn)`.
 *
 * @throws FST_CTX_INVALID_KEY a name that cannot be a key
 * @param options what else leaves and enters the process
 * @throws FST_CTX_INVALID_OPTION a policy or an option of the wrong type
 * @example
 * export const ctx = createContext({ tenant: key<string>({ log: true }), user: key<User>() })
 * await app.register(ctx.plugin)
 */
export function createContext<K extends Keys> (keys: K & FreeNames<K>, options: CreateOptions = {}): OwnContext<ValuesOfKeys<K>> {
  const policy = readKeys(keys)
  const definition = new ContextDefinition(policy, readCreateOptions(options), patchFetch)
  return Object.assign(new Context<ValuesOfKeys<K>>(definition), { plugin: pluginOf<ContextOptions>(definition), configure: configureOf(definition) })
}

/** Creates `ctx.configure` of a context. */
function configureOf (definition: ContextDefinition): (options: AddedOptions) => void {
  return function configure (options) {
    if (typeof options !== 'object' || options === null || Array.isArray(options)) throw new FST_CTX_INVALID_OPTION('ctx.configure', 'takes an object of options')
    const names = definition.keys === undefined ? ['keys', ...CREATE_OPTIONS] : [...CREATE_OPTIONS]
    const unknown = Object.keys(options).find((name) => !names.includes(name))
    if (unknown !== undefined) throw new FST_CTX_INVALID_OPTION(unknown, `is not an option of ctx.configure(), which takes ${names.join(', ')}`)
    definition.configure(options)
  }
}

function readCreateOptions (options: CreateOptions): CreateOptions {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) throw new FST_CTX_INVALID_OPTION('createContext', 'takes an object of options second')
  for (const name of Object.keys(options)) if (!CREATE_OPTIONS.has(name)) throw new FST_CTX_INVALID_OPTION(name, `does not exist: createContext() takes ${[...CREATE_OPTIONS].join(', ')}, and register takes requestId, closeTimeout and reenter`)
  return options
}

const readyMade = new ContextDefinition(undefined, undefined, patchFetch)

/** The ready-made context. Augment `ContextValues` for its types, and give its keys when you register its plugin. */
export const ctx: ReadyMadeContext = Object.assign(new Context<ContextValues>(readyMade), { configure: configureOf(readyMade) })

/**
 * The plugin of the ready-made context. Gives each request a scope of `ctx`, and `request.ctx`.
 *
 * @example
 * await app.register(context, { keys: { tenant: { seed: (request) => request.headers['x-tenant-id'], log: true } } })
 */
const context: FastifyPluginAsync<ReadyMadeOptions> = pluginOf<ReadyMadeOptions>(readyMade)
export default context

export { key, type Carry, type CheckedValue, type FreeNames, type Key, type KeyPolicy, type Keys, type Packing, type ReservedName, type SchemaPolicy, type Seed, type SeedRequest, type ValuesOfKeys } from './config/key.ts'
export type { Schema } from './config/schema.ts'
export * from './common/errors.ts'
export type * from './types.ts'
export type { ContextApi, ContextApi as Context } from './api/context-api.ts'
export type { RequestContext } from './api/request-context.ts'
export type { BoundIterable } from './scope/bind-iterable.ts'
export type { Cache } from './scope/cache.ts'
export type { Limits } from './lifecycle/cancellation.ts'
export type { InFlight, InFlightCounts, InFlightOptions, OpenScope } from './api/in-flight.ts'
export type { Explanation, PolicyRow } from './api/explain.ts'
export type { MemoOptions } from './api/memo.ts'
export type { ImpersonateMessage } from './api/audit.ts'
export type { ImpersonateOptions, ImpersonateRestOptions } from './api/nested.ts'
export type { RunOptions } from './lifecycle/run.ts'
export type { RequestIdOptions } from './config/request-id.ts'
export type { DehydrateOptions, HydrateOptions } from './api/envelopes.ts'
export type { Dispatch, Interceptor } from './propagation/undici-interceptor.ts'
export type { Propagate } from './config/propagation-rules.ts'
export type { CreateOptions, EnvelopeOptions, ImpersonateRequest, LateOptions, OnImpersonate } from './config/options.ts'
export type { Trace, Tracing } from './tracing/trace-context.ts'
export type { ContextOptions, ReadyMadeOptions } from './plugin.ts'
