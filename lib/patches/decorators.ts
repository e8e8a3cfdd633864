import type { FastifyInstance } from 'fastify'
import { replaceMethod } from './replace-method.ts'

const METHODS = ['decorate', 'decorateRequest'] as const

/**
 * Refuses decorators of other plugins that would hide ours. `@fastify/request-context` decorates in a callback, where an error ends
 * the process instead of failing the start. In a child, Fastify allows a `ctx` that replaces ours.
 */
export const decorators = {
  target: 'fastify',
  property: METHODS.join(', '),
  reason: '@fastify/request-context decorates in a callback, see https://github.com/fastify/fastify-request-context/blob/main/index.js',
  without: 'registering @fastify/request-context after this plugin fails with an error from Fastify, and a child may decorate requests with a ctx that replaces ours',

  available (instance: FastifyInstance): boolean {
    return METHODS.every((method) => typeof instance[method] === 'function')
  },

  /** @param refuses returns whether a decorator of another plugin is ignored; it may throw */
  install (instance: FastifyInstance, refuses: (method: string, name: string) => boolean): () => void {
    const restores = METHODS.map((method) => replaceMethod(instance, method, (decorate) => function (this: FastifyInstance, name: string, ...rest: unknown[]) {
      return refuses(method, name) ? this : decorate.call(this, name, ...rest)
    }))
    return () => { for (const restore of restores) restore() }
  }
}
