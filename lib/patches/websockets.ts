import type { EventEmitter } from 'node:events'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { lifeOfRaw } from '../lifecycle/request-lifetime.ts'
import { emitInScope } from './node-events.ts'

const held = new WeakSet<object>()

/** Makes the websockets of `@fastify/websocket` emit in the scope of the request that opened them, which lasts as long as they do. */
export function holdWebsockets (request: FastifyRequest): void {
  const { websocketServer } = request.server as FastifyInstance & { websocketServer?: EventEmitter }
  if (websocketServer === undefined || held.has(websocketServer)) return
  held.add(websocketServer)
  websocketServer.on('connection', (socket: EventEmitter, raw: object) => {
    const life = lifeOfRaw(raw)
    if (life === undefined) return
    emitInScope(socket, life.scope.store)
    life.hold()
    // Their listeners of `close` come after this one, in the same turn.
    socket.once('close', () => { setImmediate(() => { life.release() }) })
  })
}
