import { EventEmitter } from 'node:events'
import { IncomingMessage, ServerResponse } from 'node:http'
import http2 from 'node:http2'
import net, { type AddressInfo } from 'node:net'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import t from 'tap'
import { createContext, key } from '../../../lib/index.ts'
import { gate, Lines, listen, turns, type Tap } from '../../support/support.ts'

const newContext = () => createContext({
  tenant: key<string>({ seed: async (request) => request.headers['x-tenant-id'] as string | undefined, log: true }),
  user: key<string>({ log: true, missing: 401 })
})

type Ctx = ReturnType<typeof newContext>

interface Started { readonly app: FastifyInstance, readonly ctx: Ctx, readonly lines: Lines, readonly url: string, readonly port: number, readonly ask: (path?: string, init?: RequestInit) => Promise<Response> }

async function start (t: Tap, routes: (app: FastifyInstance, ctx: Ctx) => void, reenter = false, options: object = {}): Promise<Started> {
  const ctx = newContext()
  const lines = new Lines(t)
  const app: FastifyInstance = Fastify({ logger: { stream: lines }, ...options })
  await app.register(ctx.plugin, { reenter })
  routes(app, ctx)
  const { url, port } = await listen(t, app)
  return { app, ctx, lines, url, port, ask: (path = '/', init) => fetch(url + path, { headers: { 'x-tenant-id': 'acme' }, ...init }) }
}

const BODY = { method: 'POST', headers: { 'x-tenant-id': 'acme', 'content-type': 'application/json' }, body: '{"a":1}' }

t.test('reenter: false: hooks, handler, serializer and error handler have the values, also after a body', async (t) => {
  const seen: string[] = []
  const { ask } = await start(t, (app, ctx) => {
    const note = (where: string): void => { seen.push(`${where}: ${ctx.get('tenant')}`) }
    for (const hook of ['onRequest', 'preValidation', 'preHandler'] as const) app.addHook(hook, async () => { note(hook) })
    app.addHook('preParsing', async () => { note('preParsing') })
    app.addHook('preSerialization', async (_request, _reply, payload) => { note('preSerialization'); return payload })
    app.addHook('onSend', async (_request, _reply, payload) => { note('onSend'); return payload })
    app.addHook('onResponse', async () => { note('onResponse') })
    app.setErrorHandler(async (error: Error) => { note('errorHandler'); return { error: error.message } })
    app.post('/', async (request) => { note('handler'); return { tenant: request.ctx.tenant, own: ctx.get('tenant') } })
    app.post('/fails', async () => { throw new Error('failed') })
  })
  t.same(await (await ask('/', BODY)).json(), { tenant: 'acme', own: 'acme' })
  t.same(await (await ask('/fails', BODY)).json(), { error: 'failed' })
  await turns()
  t.same(seen.filter((line) => !line.endsWith(': acme')), [])
  t.equal(seen.length, 16)
})

t.test('reenter: false: onResponse hooks run in the scope when the connection calls them (HTTP/2)', async (t) => {
  const ctx = newContext()
  const app = Fastify({ http2: true })
  await app.register(ctx.plugin, { reenter: false })
  const seen = gate<unknown>()
  app.addHook('onResponse', async () => { seen.open(ctx.get('tenant')) })
  app.get('/', async () => 'ok')
  await app.listen({ port: 0, host: '127.0.0.1' })
  const client = http2.connect(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}`)
  client.request({ ':path': '/', 'x-tenant-id': 'acme' }).resume().end()
  t.equal(await seen.promise, 'acme')
  client.close()
  await app.close()
})

for (const reenter of [true, false]) {
  t.test(`HTTP/2, reenter: ${reenter}: a disconnect during the handler aborts ctx.signal, and a complete response does not`, async (t) => {
    const ctx = newContext()
    const app = Fastify({ http2: true })
    await app.register(ctx.plugin, { reenter })
    const arrived = gate<AbortSignal>()
    const seen = gate<unknown>()
    let complete: AbortSignal | undefined
    app.get('/', async () => { complete = ctx.signal; return 'ok' })
    app.get('/slow', async (_request, reply) => {
      const left = new Promise((resolve) => { reply.raw.once('close', resolve) })
      arrived.open(ctx.signal)
      await left
      await turns()
      seen.open([ctx.signal.aborted, ctx.get('tenant')])
    })
    await app.listen({ port: 0, host: '127.0.0.1' })
    const client = http2.connect(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}`)
    const whole = client.request({ ':path': '/', 'x-tenant-id': 'acme' }).resume()
    await new Promise((resolve) => { whole.end().once('close', resolve) })
    const cut = client.request({ ':path': '/slow', 'x-tenant-id': 'acme' }).resume()
    cut.end().on('error', () => {})
    const signal = await arrived.promise
    cut.close(http2.constants.NGHTTP2_CANCEL)
    t.same(await seen.promise, [true, 'acme'])
    t.equal(signal.aborted, true)
    t.equal(complete!.aborted, false)
    client.close()
    await app.close()
  })
}

t.test('a scope opened by an onRequest hook still holds after the body is read', async (t) => {
  const { ask } = await start(t, (app, ctx) => {
    app.addHook('onRequest', (_request, _reply, done) => { ctx.run({ user: 'inner' }, done) })
    app.post('/', async () => ({ tenant: ctx.get('tenant'), user: ctx.get('user') }))
  })
  t.same(await (await ask('/', BODY)).json(), { tenant: 'acme', user: 'inner' })
})

for (const route of [false, true]) {
  t.test(`${route ? 'a route with reenter: false' : 'reenter: false'}: no method of Fastify or Node is replaced`, async (t) => {
    async function handler (this: FastifyInstance, request: FastifyRequest, reply: FastifyReply): Promise<object> {
      return {
        handler: request.routeOptions.handler.name,
        ownEmit: [request.raw, reply.raw].map((raw) => Object.hasOwn(raw, 'emit')),
        emit: [request.raw.emit, reply.raw.emit].map((emit) => emit === EventEmitter.prototype.emit),
        prototypes: [Object.getPrototypeOf(request.raw) === IncomingMessage.prototype, Object.getPrototypeOf(reply.raw) === ServerResponse.prototype],
        sameHandler: Object.getOwnPropertyDescriptor(request.routeOptions.handler, 'name')!.value
      }
    }
    const { app, ask } = await start(t, (app) => {
      app.route({ method: ['GET', 'POST'], url: '/', config: route ? { context: { reenter: false } } : {}, preValidation: async () => {}, handler })
    }, route)
    const expected = { handler: 'bound handler', ownEmit: [false, false], emit: [true, true], prototypes: [true, true], sameHandler: 'bound handler' }
    t.same(await (await ask()).json(), expected)
    t.same(await (await ask('/', BODY)).json(), expected)
    if (!route) {
      const other = Fastify()
      t.same([app.inject.toString(), app.decorate.toString(), app.decorateRequest.toString()], [other.inject.toString(), other.decorate.toString(), other.decorateRequest.toString()])
    }
  })
}

t.test('a route with reenter: false has the values after the body, and other routes still re-enter', async (t) => {
  const { ask } = await start(t, (app, ctx) => {
    app.post('/own', { config: { context: { reenter: false } } }, async () => ctx.get('tenant'))
    app.post('/with-hooks', { config: { context: { reenter: false } }, preValidation: async (request) => { request.ctx.user = ctx.get('tenant') as never } }, async () => ctx.get('user'))
    app.post('/other', async (_request, reply) => ({ handler: Object.hasOwn(Object.getPrototypeOf(reply.raw), 'emit'), tenant: ctx.get('tenant') }))
    app.get('/get', { config: { context: { reenter: false } } }, async () => ctx.get('tenant'))
  }, true)
  t.equal(await (await ask('/own', BODY)).text(), 'acme')
  t.equal(await (await ask('/with-hooks', BODY)).text(), 'acme')
  t.same(await (await ask('/other', BODY)).json(), { handler: true, tenant: 'acme' })
  t.equal(await (await ask('/get')).text(), 'acme')
  t.equal((await ask('/get', { method: 'HEAD' })).status, 200)
})

t.test('reenter: false: the scope ends once, with its values, after the response and after a disconnect', async (t) => {
  const ended: unknown[] = []
  const [aborted, reached, late] = [gate(), gate(), gate()]
  const { ask, port, ctx } = await start(t, (app, ctx) => {
    app.addHook('onRequest', async () => { ctx.onEnd(() => { ended.push([ctx.get('tenant'), ctx.signal.aborted]) }) })
    app.get('/', async () => 'ok')
    app.get('/slow', async () => {
      ctx.signal.addEventListener('abort', () => { aborted.open() })
      reached.open()
      await aborted.promise
      await new Promise((resolve) => { setTimeout(resolve, 30) })
      ended.push(['handler', ctx.get('tenant')])
      late.open()
      return 'late'
    })
    app.get('/after', async (_request, reply) => {
      reply.send('early')
      await new Promise((resolve) => { setTimeout(resolve, 40) })
      ended.push(['after the answer', ctx.get('tenant')])
    })
    app.get('/hijack', (_request, reply) => { reply.hijack(); reply.raw.end('raw') })
  })
  await (await ask()).text()
  await turns()
  t.same(ended.splice(0), [['acme', false]])

  const socket = net.connect(port, '127.0.0.1')
  socket.write('GET /slow HTTP/1.1\r\nhost: a\r\nx-tenant-id: globex\r\n\r\n')
  await reached.promise
  socket.destroy()
  await late.promise
  t.same(ended.splice(0), [['globex', true], ['handler', 'globex']])

  t.equal(await (await ask('/after')).text(), 'early')
  await new Promise((resolve) => { setTimeout(resolve, 80) })
  t.same(ended.splice(0), [['acme', false], ['after the answer', 'acme']])

  t.equal(await (await ask('/hijack')).text(), 'raw')
  await turns()
  t.same(ended.splice(0), [['acme', false]])
  t.equal(ctx.get('tenant'), undefined)
})

t.test('reenter: false: required keys are enforced, and a time limit aborts the signal', async (t) => {
  const { ask } = await start(t, (app, ctx) => {
    app.get('/', { config: { context: { require: ['user' as never] } } }, async () => 'open')
    app.get('/limit', { handlerTimeout: 20 }, async () => {
      await new Promise((resolve) => { ctx.signal.addEventListener('abort', resolve) })
      return 'aborted'
    })
  })
  t.equal((await ask()).status, 401)
  t.equal((await ask('/limit')).status, 503)
})

t.test('reenter: false: log lines carry each field once', async (t) => {
  const { ask, lines } = await start(t, (app, ctx) => {
    app.post('/', async (request) => { request.log.info('by request'); ctx.log.info('by ctx'); app.log.info('by app'); return 'ok' })
  })
  await (await ask('/', BODY)).text()
  await lines.until('request completed')
  for (const message of ['by request', 'by ctx', 'by app', 'request completed']) t.equal(lines.one(message).tenant, 'acme', message)
})

t.test('if one of two contexts re-enters, the request re-enters in either order of registration', async (t) => {
  for (const order of [[true, false], [false, true]]) {
    const contexts = order.map(() => newContext())
    const app: FastifyInstance = Fastify()
    for (const [i, reenter] of order.entries()) await app.register(contexts[i]!.plugin, { reenter })
    app.post('/', async (request) => ({ values: contexts.map((ctx) => ctx.get('tenant')), replaced: Object.hasOwn(Object.getPrototypeOf(request.raw), 'emit') }))
    app.addHook('preHandler', async () => {})
    const { url } = await listen(t, app)
    t.same(await (await fetch(url, BODY)).json(), { values: ['acme', 'acme'], replaced: true })
  }
})

t.test('reenter: false: a route added before the plugin, and a request without our hooks, still work', async (t) => {
  const ctx = newContext()
  const app: FastifyInstance = Fastify()
  app.addHook('onRequest', async (request, reply) => { if (request.url === '/early') await reply.send('early') })
  app.register(ctx.plugin, { reenter: false })
  app.post('/', async () => ctx.get('tenant'))
  const { url } = await listen(t, app)
  t.equal(await (await fetch(url, BODY)).text(), 'acme')
  t.equal(await (await fetch(`${url}/early`, BODY)).text(), 'early')
  await turns()
})

t.test('reenter accepts only true or false, at register and on a route', async (t) => {
  const app = Fastify()
  await t.rejects(async () => await app.register(newContext().plugin, { reenter: 'no' as never }), { code: 'FST_CTX_INVALID_OPTION', message: /reenter/ })
  const other = Fastify()
  await other.register(newContext().plugin)
  t.throws(() => other.get('/', { config: { context: { reenter: 'no' as never } } }, async () => 'ok'), { code: 'FST_CTX_INVALID_OPTION', message: /config\.context\.reenter/ })
})
