import type { EventEmitter } from 'node:events'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { lifeOfRaw } from '../lifecycle/carrier.ts'
import { emitWithin } from './node-events.ts'

const held = new WeakSet<object>()

/** Makes the websockets of `@fastify/websocket` emit in the scope of the request that opened them, which lasts as long as they do. */
export function holdWebsockets (request: FastifyRequest, undo: Array<() => void>): void {
  const { websocketServer } = request.server as FastifyInstance & { websocketServer?: EventEmitter }
  if (websocketServer === undefined || held.has(websocketServer)) return
  held.add(websocketServer)
  const onConnection = (socket: EventEmitter, raw: object): void => {
    const life = lifeOfRaw(raw)
    if (life === undefined) return
    life.hold()
    emitWithin(socket, life, life.current, (event) => { if (event === 'close') life.release() })
  }
  websocketServer.on('connection', onConnection)
  undo.push(() => {
    held.delete(websocketServer)
    websocketServer.removeListener('connection', onConnection)
  })
}
