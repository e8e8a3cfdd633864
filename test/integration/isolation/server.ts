import type { IncomingMessage } from 'node:http'
import { PassThrough, Readable } from 'node:stream'
import replyFrom from '@fastify/reply-from'
import websocket from '@fastify/websocket'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import pino from 'pino'
import { fastifyHas } from '../../support/support.ts'
import { canary } from '../../support/canary.ts'
import type { Checker } from './checker.ts'
import type { Shuffle } from '../../support/shuffle.ts'
import { accessOf, type Subject } from './subjects.ts'

export interface Run {
  readonly subject: Subject
  readonly shuffle: Shuffle
  readonly checker: Checker
}

export interface ServerOptions {
  readonly http2: boolean
  /** The target of proxied requests. */
  readonly upstream: string
}

/** Records what a request sees in its own code, with `inner` in a nested scope. */
type Look = (request: FastifyRequest, point: string, inner?: 'inner') => void

export function numberOf (request: Pick<FastifyRequest, 'headers'>): number {
  return Number(request.headers['x-number'])
}

/** An application with a route per shape. Each step reads the context, and continues in another request's code. */
export async function serve (run: Run, { http2, upstream }: ServerOptions): Promise<FastifyInstance> {
  const { subject, shuffle, checker } = run
  const stream = { write (line: string) { checker.line(line) } }
  const app = Fastify({
    logger: { stream },
    forceCloseConnections: true,
    genReqId: (raw: IncomingMessage) => raw.headers['x-request-id'] as string,
    ...(http2 ? { http2: true } : undefined)
  } as object) as unknown as FastifyInstance
  const other = pino({ mixin: subject.mixin }, stream)

  const withTenant = new WeakSet<object>()
  const withUser = new WeakSet<object>()
  const look: Look = (request, point, inner) => {
    const n = numberOf(request)
    // The timer of a route may fire, or a client may disconnect, before a slow seed has its value.
    const seeded = withTenant.has(request)
    const tenant = canary(n, inner ?? 'tenant')
    checker.read(n, `${point}, ctx`, subject.get('tenant'), tenant, seeded)
    checker.read(n, `${point}, request.ctx`, accessOf(request).get('tenant'), tenant, seeded)
    checker.read(n, `${point}, id`, subject.get('requestId'), `request-${n}`)
    const user = subject.get('user')
    if (user !== undefined || withUser.has(request)) checker.read(n, `${point}, user`, user, canary(n, 'user'))
    const message = `look ${n} ${seeded ? '' : 'early '}${point}`
    for (const log of [request.log, app.log, subject.log, other]) log.info(message)
  }

  app.addHook('onRequest', async (request, reply) => {
    checker.opened()
    reply.raw.once('close', () => { checker.closed(numberOf(request)) })
  })
  await subject.register(app)
  if (!http2) {
    await app.register(websocket)
    await app.register(replyFrom)
  }
  app.addHook('onRequest', async (request) => { withTenant.add(request) })
  addHooks(app, run, look)
  app.addHook('preHandler', async (request) => {
    await shuffle.pause()
    try { subject.set('user', canary(numberOf(request), 'user')) } catch { return /* its client is gone */ }
    withUser.add(request)
  })
  app.addHook('onSend', async (request, reply) => {
    reply.header('x-tenant', subject.get('tenant') ?? 'none')
    look(request, 'onSend, header')
  })
  const tell = async (request: FastifyRequest, point: string): Promise<object> => {
    look(request, point)
    await shuffle.pause()
    look(request, `${point}, after a pause`)
    return { tenant: subject.get('tenant'), user: subject.get('user') }
  }
  app.setErrorHandler(async (error: Error & { statusCode?: number }, request, reply) => {
    reply.code(error.statusCode ?? 500)
    return await tell(request, 'error handler')
  })
  app.setNotFoundHandler(async (request, reply) => {
    reply.code(404)
    return await tell(request, 'not found handler')
  })
  addRoutes(app, run, look, tell)
  if (!http2) addSocketRoutes(app, run, look, upstream)
  await app.listen({ port: 0, host: '127.0.0.1' })
  return app
}

/** Two hooks of each kind: one continues by a callback from elsewhere, the next one must see the right values. */
function addHooks (app: FastifyInstance, { shuffle }: Run, look: Look): void {
  for (const name of ['onRequest', 'preValidation', 'preHandler', 'onResponse', 'onTimeout'] as const) {
    app.addHook(name as 'onRequest', (request, _reply, done) => { look(request, name); shuffle.later(done) })
    app.addHook(name as 'onRequest', async (request) => { look(request, `${name}, next`); await shuffle.pause(); look(request, `${name}, awaited`) })
  }
  for (const name of ['preParsing', 'preSerialization', 'onSend'] as const) {
    app.addHook(name as 'onSend', (request, _reply, payload, done) => { look(request, name); shuffle.later(() => { done(null, payload) }) })
    app.addHook(name as 'onSend', async (request, _reply, payload) => { look(request, `${name}, next`); await shuffle.pause(); return payload })
  }
  app.addHook('onError', (request, _reply, _error, done) => { look(request, 'onError'); shuffle.later(done) })
  app.addHook('onRequestAbort', (request, done) => { look(request, 'onRequestAbort'); shuffle.later(done) })
  app.addHook('onRequest', async (request, reply) => {
    for (const event of ['end', 'close'] as const) request.raw.on(event, () => { look(request, `request.raw ${event}`) })
    for (const event of ['finish', 'close'] as const) reply.raw.on(event, () => { look(request, `reply.raw ${event}`) })
  })
  app.addContentTypeParser('text/parts', (request, payload, done) => {
    let text = ''
    payload.on('data', (part) => { look(request, 'parser, data'); text += part })
    payload.on('end', () => { look(request, 'parser, end'); shuffle.later(() => { done(null, text) }) })
    payload.on('error', done)
  })
}

function addRoutes (app: FastifyInstance, { subject, shuffle }: Run, look: Look, tell: (request: FastifyRequest, point: string) => Promise<object>): void {
  app.get('/get', async (request) => await tell(request, 'handler'))
  app.post('/json', async (request) => ({ ...await tell(request, 'json handler'), body: request.body }))
  app.post('/chunked', async (request) => ({ ...await tell(request, 'parser handler'), body: request.body }))
  app.get('/error', async (request) => {
    await tell(request, 'failing handler')
    throw Object.assign(new Error('failed'), { statusCode: 418 })
  })

  app.get('/nested', async (request) => {
    const inner = async (): Promise<string | undefined> => {
      look(request, 'inner', 'inner')
      await shuffle.pause()
      look(request, 'inner, after a pause', 'inner')
      return subject.get('tenant')
    }
    const [within] = await Promise.all([subject.run({ tenant: canary(numberOf(request), 'inner') }, inner), tell(request, 'beside the inner')])
    return { ...await tell(request, 'after the inner'), within }
  })

  app.get('/stream', (request, reply) => {
    const parts = async function * (): AsyncGenerator<string> {
      for (let i = 0; i < partsOf(request); i++) {
        await shuffle.pause()
        look(request, 'stream')
        yield `${subject.get('tenant')} ${'.'.repeat(40_000)}\n`
      }
    }
    const stream = Readable.from(parts())
    stream.on('close', () => { look(request, 'stream, close') })
    reply.send(stream)
  })

  app.get('/sse', (request, reply) => {
    const stream = new PassThrough()
    stream.on('end', () => { look(request, 'sse, end') })
    reply.type('text/event-stream').send(stream)
    let left = partsOf(request)
    // In the code of any request: only the request object itself says whose it is.
    const write = (): void => {
      stream.write(`data: ${accessOf(request).get('tenant')}\n\n`)
      if (--left > 0) shuffle.later(write)
      else stream.end()
    }
    shuffle.later(write)
  })

  app.get('/timeout', { handlerTimeout: 300 }, async (request, reply) => {
    look(request, 'slow handler')
    if (!fastifyHas('handlerTimeout')) setTimeout(() => { reply.code(503).send('late') }, 300)
    await new Promise((resolve) => { reply.raw.once('close', resolve) })
    look(request, 'slow handler, after its answer')
  })
}

function addSocketRoutes (app: FastifyInstance, { subject, shuffle }: Run, look: Look, upstream: string): void {
  app.get('/hijack', (request, reply: FastifyReply) => {
    reply.hijack()
    shuffle.later(subject.bind(() => {
      look(request, 'hijacked, bound')
      reply.raw.end(subject.get('tenant'))
    }))
  })

  app.get('/websocket', { websocket: true }, (socket, request) => {
    look(request, 'websocket')
    socket.on('message', () => { look(request, 'websocket, message'); socket.send(`${subject.get('tenant')}`) })
    socket.on('close', () => { look(request, 'websocket, close') })
  })

  app.get('/proxied', (request, reply) => {
    reply.from(upstream, {
      rewriteRequestHeaders: (_request, headers) => ({ ...headers, 'x-told': subject.get('tenant') }),
      onResponse (_request, reply, response) {
        look(request, 'proxied, onResponse')
        reply.send((response as unknown as { stream: Readable }).stream)
      }
    })
  })
}

function partsOf (request: FastifyRequest): number {
  return Number(request.headers['x-parts'])
}
