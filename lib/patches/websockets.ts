import type { EventEmitter } from 'node:events'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { lifetimeOfRaw } from '../lifecycle/carrier.ts'
import { emitWithin } from './node-events.ts'

const held = new WeakSet<object>()

/** Makes the websockets of `@fastify/websocket` emit in the scope of the request that opened them. The scope lasts as long as they do. */
export const websockets = {
  target: 'a socket of @fastify/websocket',
  property: 'emit',
  reason: 'a socket emits where the connection was made, see https://nodejs.org/api/async_context.html#integrating-asyncresource-with-eventemitter',
  without: 'listeners of a websocket may run outside the scope of the request that opened it, and the scope may end before the websocket closes',

  /** Whether the application has websockets. */
  available (request: FastifyRequest): boolean {
    return serverOf(request) !== undefined
  },

  /** @returns a function that reverts it for later sockets; `undefined` if it is already installed */
  install (request: FastifyRequest): (() => void) | undefined {
    const server = serverOf(request)!
    if (held.has(server)) return undefined
    held.add(server)
    server.on('connection', fastifyCtxOnConnection)
    return () => {
      held.delete(server)
      server.removeListener('connection', fastifyCtxOnConnection)
    }
  }
}

function serverOf ({ server }: FastifyRequest): EventEmitter | undefined {
  return (server as FastifyInstance & { websocketServer?: EventEmitter }).websocketServer
}

function fastifyCtxOnConnection (socket: EventEmitter, raw: object): void {
  const lifetime = lifetimeOfRaw(raw)
  if (lifetime?.reenters !== true) return
  lifetime.hold()
  const revert = emitWithin(socket, lifetime, lifetime.current, (event) => {
    if (event !== 'close') return
    lifetime.release()
    revert()
  })
}
