import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { FastifyInstance, RouteOptions } from 'fastify'
import { FST_CTX_INVALID_ARGUMENT } from '../../common/errors.ts'
import type { App } from '../target.ts'

/** An application, and its routes in the order in which they were added. */
export interface Loaded {
  readonly app: App
  readonly routes: readonly RouteOptions[]
}

type Factory = (...args: any[]) => unknown

const TAKES = 'a module that exports, as default or as app, a Fastify instance, a function without parameters that returns one, or a plugin'

/**
 * Loads an application from a module. Collects its routes with `onRoute`, which is added to each instance that Fastify announces
 * on its channel while the module is loaded.
 *
 * @throws FST_CTX_INVALID_ARGUMENT the module does not export an application
 */
export async function loadApplication (file: string): Promise<Loaded> {
  const routesOf = new Map<object, RouteOptions[]>()
  const collect = (message: unknown): void => {
    const { fastify } = message as { readonly fastify: FastifyInstance }
    const routes: RouteOptions[] = []
    routesOf.set(fastify, routes)
    fastify.addHook('onRoute', (route) => { routes.push(route) })
  }
  subscribe('fastify.initialization', collect)
  try {
    const { app } = await appIn(resolve(file))
    await app.ready()
    return { app, routes: routesOf.get(app) ?? [] }
  } finally {
    unsubscribe('fastify.initialization', collect)
  }
}

/** The instance is wrapped in an object. An instance is thenable, so an async function that returned it would wait until it is ready, or forever during its own start. */
async function appIn (file: string): Promise<{ readonly app: App }> {
  const { default: byDefault, app: byName } = await importFile(file)
  const exported = [byDefault, byName].find((value) => isApp(value) || typeof value === 'function')
  if (isApp(exported)) return { app: exported }
  if (exported === undefined) throw new FST_CTX_INVALID_ARGUMENT('fastify-ctx check', TAKES)
  if ((exported as Factory).length === 0) {
    const app: unknown = await (exported as Factory)()
    if (!isApp(app)) throw new FST_CTX_INVALID_ARGUMENT('fastify-ctx check', TAKES)
    return { app }
  }
  const fastify = createRequire(file)('fastify') as () => FastifyInstance
  const app = fastify()
  app.register(exported as never)
  return { app }
}

function isApp (value: unknown): value is App {
  return typeof (value as Partial<App> | undefined)?.addHook === 'function'
}

/** The contents of a file: a module's exports, or a JSON file as its default export. */
export async function importFile (file: string): Promise<Record<string, unknown>> {
  const path = resolve(file)
  if (path.endsWith('.json')) return { default: JSON.parse(await readFile(path, 'utf8')) }
  return await import(pathToFileURL(path).href) as Record<string, unknown>
}
