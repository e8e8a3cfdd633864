import type { FastifyInstance } from 'fastify'

type Decorate = (this: FastifyInstance, name: string, ...rest: unknown[]) => FastifyInstance

const METHODS = ['decorate', 'decorateRequest'] as const

/**
 * Refuses decorators of others that would hide ours. `@fastify/request-context` decorates within a callback, where an error ends
 * the process instead of the start of the application; in a child, Fastify allows a `ctx` that replaces ours.
 */
export const decorators = {
  target: 'fastify',
  property: METHODS.join(', '),
  reason: '@fastify/request-context decorates within a callback, see https://github.com/fastify/fastify-request-context/blob/main/index.js',
  without: 'registering @fastify/request-context after this plugin fails with an error of Fastify, and a child may decorate requests with a ctx that replaces ours',

  available (instance: FastifyInstance): boolean {
    return METHODS.every((method) => typeof instance[method] === 'function')
  },

  /** @param refuses whether a decorator of somebody else is left out; it may throw */
  install (instance: FastifyInstance, refuses: (method: string, name: string) => boolean): () => void {
    const restores = METHODS.map((method) => {
      const before = Object.getOwnPropertyDescriptor(instance, method)
      const decorate = instance[method] as unknown as Decorate
      const ours: Decorate = function (name, ...rest) {
        return refuses(method, name) ? this : decorate.call(this, name, ...rest)
      }
      Object.defineProperties(ours, { name: { value: decorate.name }, length: { value: decorate.length } })
      Object.assign(instance, { [method]: ours })
      return () => {
        if (instance[method] !== ours as unknown) return
        if (before === undefined) Reflect.deleteProperty(instance, method)
        else Object.defineProperty(instance, method, before)
      }
    })
    return () => { for (const restore of restores) restore() }
  }
}
