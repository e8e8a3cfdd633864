import type { FastifyInstance } from 'fastify'
import { checkedIds, type RequestIds } from '../config/request-id.ts'
import { lifetimeOfRaw } from '../lifecycle/carrier.ts'
import { replaceMethod } from './replace-method.ts'

/** Checks the ids of generators set after the plugin, before Fastify writes them on its first line. */
export const idGenerators = {
  target: 'fastify',
  property: 'setGenReqId',
  reason: 'Fastify makes the id and its first log line before any hook, see https://fastify.dev/docs/latest/Reference/Server/#setgenreqid',
  without: 'if a generator of request ids that is set after the plugin returns an unsafe id, the line "incoming request" has that id and later lines have another; a generator that throws ends the process',

  available (instance: FastifyInstance): boolean {
    return typeof instance.setGenReqId === 'function'
  },

  install (instance: FastifyInstance): () => void {
    return replaceMethod(instance, 'setGenReqId', (before) => function (this: FastifyInstance, generate: RequestIds) {
      return before.call(this, typeof generate === 'function' ? checkedIds(generate, idOfRaw) : generate)
    })
  }
}

/** The id of a request that already has one, because `app.routing()` routes it again. `app.genReqId()` may be called without a request. */
export function idOfRaw (raw: object | undefined): string | undefined {
  return raw === undefined ? undefined : lifetimeOfRaw(raw)?.scope.store.requestId as string | undefined
}
