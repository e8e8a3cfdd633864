import type { FastifyReply } from 'fastify'
import { bindByHand, type Served } from './bench.ts'

/** Routes that take over their connection. */
export function addSockets (served: Served): void {
  const { app, ctx, looker, shuffle } = served
  app.get('/hijack', (request, reply: FastifyReply) => {
    reply.hijack()
    shuffle.later(ctx.bind(() => {
      looker.look(request, 'hijacked, bound')
      reply.raw.write(`${ctx.get('tenant')} `)
      shuffle.later(ctx.bind(() => { reply.raw.end(ctx.get('user')?.id) }))
    }))
  })

  app.get('/websocket', { websocket: true }, (socket, request) => {
    looker.look(request, 'websocket')
    socket.on('message', bindByHand(served, request, () => {
      looker.look(request, 'websocket, message')
      shuffle.later(ctx.bind(() => { socket.send(`${ctx.get('tenant')}`) }))
    }))
    socket.on('close', bindByHand(served, request, () => { looker.look(request, 'websocket, close', { always: true }) }))
  })
}
