/**
 * The plugin, the ready-made context, and what makes a context of your own.
 *
 * @module fastify-ctx
 */
import type { FastifyPluginAsync } from 'fastify'
import { Context } from './api/context.ts'
import { FST_CTX_INVALID_OPTION } from './common/errors.ts'
import type { FreeNames, Keys, ValuesOfKeys } from './config/key.ts'
import { ContextDefinition } from './lifecycle/context-definition.ts'
import { patchFetch } from './patches/index.ts'
import { pluginOf, type ContextOptions, type ReadyMadeOptions } from './plugin.ts'
import { readKeys } from './config/key-policies.ts'
import { CREATE_OPTIONS, readSettings, type CreateOptions } from './config/options.ts'
import type { ContextValues, Own } from './types.ts'

/** A context of your own: its calls, and the plugin that gives each request a scope of it. */
export interface OwnContext<V> extends Context<V> {
  /** `app.register(ctx.plugin)`: what gives each request a scope of this context. */
  readonly plugin: FastifyPluginAsync<ContextOptions>
}

/** The values of a context: `interface ContextValues extends ValuesOf<typeof ctx> {}` types `request.ctx` by it. */
export type ValuesOf<C> = C extends Context<infer V> ? V & Own<V> : never

/**
 * Creates a context of your own, its types inferred from its keys. It works with no server, too: `ctx.run(values, fn)`.
 *
 * @throws FST_CTX_INVALID_KEY a name that cannot be a key
 * @param options what else leaves the process, and enters it
 * @throws FST_CTX_INVALID_OPTION a policy or an option of the wrong type
 * @example
 * export const ctx = createContext({ tenant: key<string>({ log: true }), user: key<User>() })
 * await app.register(ctx.plugin)
 */
export function createContext<K extends Keys> (keys: K & FreeNames<K>, options: CreateOptions = {}): OwnContext<ValuesOfKeys<K>> {
  const policy = readKeys(keys)
  const definition = new ContextDefinition(policy, readSettings(readCreateOptions(options), policy), patchFetch)
  return Object.assign(new Context<ValuesOfKeys<K>>(definition), { plugin: pluginOf<ContextOptions>(definition) })
}

function readCreateOptions (options: CreateOptions): CreateOptions {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) throw new FST_CTX_INVALID_OPTION('createContext', 'takes an object of options second')
  for (const name of Object.keys(options)) if (!CREATE_OPTIONS.has(name)) throw new FST_CTX_INVALID_OPTION(name, `does not exist: createContext() takes ${[...CREATE_OPTIONS].join(', ')}, and register takes requestId and closeTimeout`)
  return options
}

const readyMade = new ContextDefinition(undefined, undefined, patchFetch)

/** The ready-made context: typed by augmenting `ContextValues`, its keys given where its plugin is registered. */
export const ctx: Context<ContextValues> = new Context<ContextValues>(readyMade)

/**
 * The plugin of the ready-made context: gives each request a scope of `ctx`, and `request.ctx`.
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
export type { Context, RequestContext } from './api/context.ts'
export type { BoundIterable } from './scope/bind-iterable.ts'
export type { Cache } from './scope/cache.ts'
export type { Limits } from './lifecycle/cancellation.ts'
export type { InFlight, InFlightCounts, InFlightOptions, OpenScope } from './api/in-flight.ts'
export type { Explanation, PolicyRow } from './api/explain.ts'
export type { ImpersonateOptions, MemoOptions } from './api/work.ts'
export type { RunOptions } from './lifecycle/run.ts'
export type { RequestIdOptions } from './config/request-id.ts'
export type { DehydrateOptions, HydrateOptions } from './api/travel.ts'
export type { Dispatch, Interceptor } from './propagation/undici-interceptor.ts'
export type { Propagate } from './config/propagation-rules.ts'
export type { CreateOptions, EnvelopeOptions } from './config/options.ts'
export type { Trace, Tracing } from './tracing/trace-context.ts'
export type { ContextOptions, ReadyMadeOptions } from './plugin.ts'
