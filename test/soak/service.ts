import multipart from '@fastify/multipart'
import websocket from '@fastify/websocket'
import Fastify, { type FastifyError, type FastifyInstance, type FastifyRequest } from 'fastify'
import pino from 'pino'
import { addAnswers } from './answers.ts'
import { bindAll, tell, type Bench, type Served } from './bench.ts'
import { addErrands } from './errands.ts'
import { addHooks } from './hooks.ts'
import { Looker } from './look.ts'
import { addSockets } from './sockets.ts'
import { visitOf } from './visit.ts'
import { addWork } from './work.ts'

/** Starts an application with all features mixed. Over HTTP/2, without those that only HTTP/1 has. */
export async function serve (bench: Bench, http2: boolean): Promise<FastifyInstance> {
  const { ctx, tally } = bench
  const stream = { write (line: string) { tally.line(line) } }
  const app = Fastify({
    logger: { stream },
    forceCloseConnections: true,
    ...(http2 ? { http2: true } : undefined)
  } as object) as unknown as FastifyInstance
  const looker = new Looker(ctx, tally, [app.log, app.log.child({ module: 'orders' }), ctx.log, pino({ mixin: ctx.mixin }, stream)])
  const served = { ...bench, app, looker }

  app.addHook('onRequest', async (request, reply) => { follow(served, request, reply.raw) })
  await app.register(ctx.plugin, { reenter: !bench.byHand })
  await app.register(multipart)
  if (!http2) await app.register(websocket)
  if (bench.byHand) bindAll(served)
  addHooks(served)
  app.setErrorHandler(async (error: FastifyError, request, reply) => {
    checkError(served, error, request)
    reply.code(error.statusCode ?? 500)
    return await tell(served, request, 'error handler')
  })
  app.setNotFoundHandler(async (request, reply) => {
    reply.code(404)
    return await tell(served, request, 'not found handler')
  })
  addAnswers(served)
  addWork(served)
  addErrands(served)
  if (!http2) addSockets(served)
  await app.listen({ port: 0, host: '127.0.0.1' })
  return app
}

function follow ({ load, track }: Served, request: FastifyRequest, response: NodeJS.EventEmitter): void {
  const visit = visitOf(request)
  track(request)
  track(request.raw)
  load.most = Math.max(load.most, ++load.open)
  response.once('close', () => {
    load.open--
    visit.closed = true
  })
}

/** Errors are planned, or caused by a disconnect or a time limit. */
function checkError ({ tally }: Served, error: FastifyError, { raw, headers, routeOptions }: FastifyRequest): void {
  if (error.message.startsWith('planned') || error.code === 'FST_ERR_HANDLER_TIMEOUT') return
  // HTTP/2 may report the end of a body before its abort.
  if (headers['x-abort'] === 'never') tally.find('failed', `${visitOf({ raw, headers }).n}, ${routeOptions.url}: ${error.stack}`)
}
