import type { preHandlerAsyncHookHandler, preHandlerHookHandler } from 'fastify'
import { FST_CTX_INSPECT_UNGUARDED, FST_CTX_INVALID_OPTION } from '../common/errors.ts'
import { ownOptions } from '../common/own-options.ts'

/** A `preHandler` hook of Fastify. It refuses by throwing or sending a response. */
export type Guard = preHandlerHookHandler | preHandlerAsyncHookHandler

/** Options of `app.register(inspect, options)`. */
export interface InspectOptions {
  /** The path of the page. Its data is at this path plus `/data`. Default `/_ctx`. */
  readonly path?: string
  /** Refuses unauthorized requests: a `preHandler` of Fastify, or several. It runs before the page and before each read of the data. */
  readonly preHandler?: Guard | readonly Guard[]
  /** `true`: starts without a `preHandler`, because a hook of the application, a proxy or a network keeps strangers out. Default `false`. */
  readonly unsafe?: boolean
}

/** Options that Fastify adds to those of a plugin. */
const FASTIFY_OPTIONS: ReadonlySet<string> = new Set(['prefix', 'logLevel', 'logSerializers'])

const OPTIONS: ReadonlySet<string> = new Set(['path', 'preHandler', 'unsafe'])

/**
 * Checks the options.
 *
 * @throws FST_CTX_INSPECT_UNGUARDED
 * @throws FST_CTX_INVALID_OPTION
 */
export function readOptions (given: InspectOptions): { readonly path: string, readonly preHandler: Guard[] } {
  for (const name of Object.keys(given)) {
    if (!OPTIONS.has(name) && !FASTIFY_OPTIONS.has(name)) throw new FST_CTX_INVALID_OPTION(name, `does not exist: inspect takes ${[...OPTIONS].join(', ')}`)
  }
  const { path = '/_ctx', preHandler = [], unsafe = false } = ownOptions(given)
  if (typeof path !== 'string' || !path.startsWith('/')) throw new FST_CTX_INVALID_OPTION('path', 'takes a path that begins with a slash')
  if (typeof unsafe !== 'boolean') throw new FST_CTX_INVALID_OPTION('unsafe', 'takes true or false')
  const guards = [preHandler].flat() as Guard[]
  if (guards.some((guard) => typeof guard !== 'function')) throw new FST_CTX_INVALID_OPTION('preHandler', 'takes a preHandler hook, or a list of them')
  if (guards.length === 0 && !unsafe) throw new FST_CTX_INSPECT_UNGUARDED(path)
  return { path, preHandler: guards }
}
