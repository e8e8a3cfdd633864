import type { FastifyInstance, RouteOptions } from 'fastify'
import { FST_CTX_INVALID_OPTION } from '../common/errors.ts'
import { requiredBy } from './required-keys.ts'

const watched = new WeakSet<object>()

/**
 * Fails the start of an application with a route that requires keys, but is outside every registered context: nothing would
 * refuse its requests. It does not see routes added before the plugin was loaded.
 *
 * @throws FST_CTX_INVALID_OPTION at `ready`
 */
export function refuseUncovered (instance: FastifyInstance, isCovered: (instance: FastifyInstance) => boolean): void {
  const root = rootOf(instance)
  if (watched.has(root)) return
  watched.add(root)
  const routes: Array<{ readonly instance: FastifyInstance, readonly url: string }> = []
  root.addHook('onRoute', function fastifyCtxOnAnyRoute (this: FastifyInstance, { config, url }: RouteOptions) {
    if (!Array.isArray(requiredBy(config)) || requiredBy(config).length === 0) return
    routes.push({ instance: this, url })
    // Plugins may be loaded after the routes that they cover. Add the hook only for such routes, because if an onReady hook takes too long, Fastify's error
    // names the last one.
    if (routes.length === 1) root.addHook('onReady', fastifyCtxOnReady)
  })

  async function fastifyCtxOnReady (): Promise<void> {
    const open = routes.find(({ instance }) => !isCovered(instance))
    if (open !== undefined) throw new FST_CTX_INVALID_OPTION('config.context.require', `of ${open.url} is not checked, because the plugin is registered in another part of the application: register it in this part or a parent`)
  }
}

/** Fastify creates each instance with `Object.create(parent)`. */
function rootOf (instance: FastifyInstance): FastifyInstance {
  const parent = Object.getPrototypeOf(instance) as Partial<FastifyInstance> | null
  return typeof parent?.addHook === 'function' ? rootOf(parent as FastifyInstance) : instance
}
