import http2 from 'node:http2'
import net from 'node:net'
import { Readable } from 'node:stream'
import websocket from '@fastify/websocket'
import t from 'tap'
import { WebSocket } from 'ws'
import { fastifyHas, gate } from '../support/support.ts'
import { Ended, gates, hooksOf, TENANTS, type Gates, type Options } from './endings.ts'

interface Ending {
  readonly title: string
  /** The path of the request. */
  readonly path?: string
  readonly method?: string
  /** Follows the head of the request. */
  readonly headers?: string
  readonly body?: string
  /** When the client disconnects: the server has the request, or its response has begun to arrive. Otherwise it waits. */
  readonly leaves?: 'when reached' | 'when answered'
  /** The hooks that Fastify runs. */
  readonly fires: readonly string[]
  readonly options?: Options
  /** Whether the values stay although the response was complete, because its handler may still run. */
  readonly kept?: boolean
}

const ANSWERED = hooksOf('onResponse')
const ABORTED = hooksOf('onRequestAbort')
const NEITHER: readonly string[] = []

const JSON_HEADERS = 'content-type: application/json\r\ncontent-length: 7\r\n'
const CHUNKED = 'content-type: application/json\r\ntransfer-encoding: chunked\r\n'
const TEN_BYTES = 'content-type: text/plain\r\ncontent-length: 10\r\n'

const ENDINGS: readonly Ending[] = [
  { title: 'an answer', path: '/answer', fires: ANSWERED },
  { title: 'an answer to a body', path: '/answer', method: 'POST', headers: JSON_HEADERS, body: '{"a":1}', fires: ANSWERED },
  { title: 'an error', path: '/error', fires: ANSWERED },
  { title: 'an invalid body', path: '/answer', method: 'POST', headers: JSON_HEADERS, body: '{"a":1,', fires: ANSWERED },
  { title: '404', path: '/none', fires: hooksOf('onResponse', '404') },
  { title: 'HEAD', path: '/answer', method: 'HEAD', fires: ANSWERED },
  { title: 'a streamed answer', path: '/stream', fires: ANSWERED },
  { title: 'a seed that throws', path: '/answer', headers: 'x-seed: throws\r\n', fires: ANSWERED },
  fastifyHas('handlerTimeout')
    ? { title: 'a handler that passed its limit', path: '/limit', fires: ANSWERED, kept: true }
    : { title: 'client gone while a handler waits whose limit Fastify does not know', path: '/limit', leaves: 'when reached', fires: ABORTED },
  { title: 'a hijacked reply that is ended', path: '/hijack-end', fires: ANSWERED },
  { title: 'client gone while its body arrives', path: '/body', method: 'POST', headers: TEN_BYTES, body: 'abc', leaves: 'when reached', fires: ABORTED },
  { title: 'client gone while the handler waits', path: '/wait', leaves: 'when reached', fires: ABORTED },
  { title: 'client gone while the handler of a read body waits', path: '/wait', method: 'POST', headers: JSON_HEADERS, body: '{"a":1}', leaves: 'when reached', fires: NEITHER },
  { title: 'client gone while a seed waits', path: '/answer', headers: 'x-seed: waits\r\n', leaves: 'when reached', fires: ABORTED },
  { title: 'client gone while the answer goes out', path: '/endless', leaves: 'when answered', fires: ABORTED },
  { title: 'a stream that fails after its head', path: '/broken-stream', fires: ABORTED },
  { title: 'connectionTimeout', path: '/wait', options: { connectionTimeout: 300 }, fires: ABORTED },
  { title: 'requestTimeout', path: '/body', method: 'POST', headers: TEN_BYTES, body: 'abc', options: { requestTimeout: 400, http: { connectionsCheckingInterval: 10, headersTimeout: 400, requestTimeout: 400 } }, fires: ABORTED },
  { title: 'a malformed chunk', path: '/body', method: 'POST', headers: CHUNKED, body: '3\r\nabc\r\nno size\r\n', fires: ABORTED },
  { title: 'a hijacked reply, client gone', path: '/hijack', leaves: 'when answered', fires: ABORTED },
  { title: 'reply.raw.destroy()', path: '/destroy-reply', fires: ABORTED },
  { title: 'request.raw.destroy()', path: '/destroy-request', fires: ABORTED }
]

function routes (ended: Ended, gates: Gates): void {
  const { app } = ended
  app.route({ method: ['GET', 'POST'], url: '/answer', handler: async () => 'answer' })
  app.get('/error', async () => { throw new Error('failed') })
  app.get('/stream', async () => Readable.from(['one', 'two']))
  app.get('/limit', { handlerTimeout: 100 }, async () => { gates.reach(); await new Promise((resolve) => { setTimeout(resolve, 200) }) })
  app.get('/hijack-end', (_request, reply) => { reply.hijack(); reply.raw.end('text') })
  app.post('/body', async () => 'never')
  app.route({ method: ['GET', 'POST'], url: '/wait', handler: async (request) => { gates.reach(); await gates.gone(request) } })
  app.get('/endless', (_request, reply) => { reply.send(new Readable({ read () { setImmediate(() => { this.push('x') }) } })) })
  app.get('/broken-stream', async () => {
    let reads = 0
    return new Readable({ read () { if (reads++ === 0) this.push('x'); else setImmediate(() => { this.destroy(new Error('failed')) }) } })
  })
  app.get('/hijack', (_request, reply) => { reply.hijack(); reply.raw.write('begun') })
  app.get('/destroy-reply', (_request, reply) => { reply.hijack(); reply.raw.destroy() })
  app.get('/destroy-request', (request, reply) => { reply.hijack(); request.raw.destroy() })
}

for (const { title, kept, path = '/', method = 'GET', headers = '', body = '', leaves, fires, options } of ENDINGS) {
  t.test(`${title}: each of two requests ends once, after all hooks`, async (t) => {
    const gate = gates(TENANTS.length)
    const ended = await Ended.open(t, options, gate)
    routes(ended, gate)
    if (path === '/body') ended.app.addHook('onRequest', async (request) => { request.raw.once('data', () => { gate.reach() }) })
    const port = await ended.listen()
    const sockets = TENANTS.map((tenant) => {
      const socket = net.connect(port, '127.0.0.1').on('error', () => {})
      socket.write(`${method} ${path} HTTP/1.1\r\nHost: x\r\nx-tenant: ${tenant}\r\n${headers}\r\n${body}`)
      return socket
    })
    const answered = Promise.all(sockets.map((socket) => new Promise((resolve) => { socket.once('data', resolve) })))
    if (leaves === 'when reached') await gate.reached
    if (leaves === 'when answered') await answered
    if (leaves === undefined) for (const socket of sockets) socket.resume()
    else for (const socket of sockets) socket.destroy()
    await ended.both()
    await ended.check(t, fires, kept === undefined ? {} : { kept })
  })
}

t.test('keep-alive: each of three requests on one socket ends before the next begins', async (t) => {
  const ended = await Ended.open(t)
  ended.app.get('/', async () => 'answer')
  const socket = net.connect(await ended.listen(), '127.0.0.1')
  t.teardown(() => { socket.destroy() })
  for (const [i, tenant] of ['alpha', 'beta', 'gamma'].entries()) {
    socket.write(`GET / HTTP/1.1\r\nHost: x\r\nx-tenant: ${tenant}\r\n\r\n`)
    await new Promise((resolve) => { socket.once('data', resolve) })
    await ended.times(i + 1)
    t.equal(ended.probes.get(tenant)!(), false)
  }
  await ended.check(t, ANSWERED, { tenants: ['alpha', 'beta', 'gamma'] })
})

t.test('pipelined: the second of two requests also ends when their socket closes', async (t) => {
  const gate = gates(2)
  const ended = await Ended.open(t)
  ended.app.get('/', async (request) => { gate.reach(); await gate.gone(request) })
  const socket = net.connect(await ended.listen(), '127.0.0.1')
  socket.write(TENANTS.map((tenant) => `GET / HTTP/1.1\r\nHost: x\r\nx-tenant: ${tenant}\r\n\r\n`).join(''))
  await gate.reached
  socket.destroy()
  await ended.both()
  await ended.check(t, ABORTED)
})

for (const how of ['answered', 'reset', 'session destroyed'] as const) {
  t.test(`HTTP/2: ${how}`, async (t) => {
    const gate = gates(2)
    const ended = await Ended.open(t, { http2: true })
    ended.app.get('/', async (request) => {
      gate.reach()
      if (how !== 'answered') await gate.gone(request)
      return 'answer'
    })
    const session = http2.connect(`http://127.0.0.1:${await ended.listen()}`).on('error', () => {})
    t.teardown(() => { session.destroy() })
    const streams = TENANTS.map((tenant) => session.request({ ':path': '/', 'x-tenant': tenant }).on('error', () => {}).resume())
    await gate.reached
    if (how === 'reset') for (const stream of streams) stream.close(http2.constants.NGHTTP2_CANCEL)
    if (how === 'session destroyed') session.destroy()
    await ended.both()
    await ended.check(t, how === 'answered' ? ANSWERED : [...ANSWERED, ...ABORTED])
  })
}

for (const how of ['closed by the client', 'closed by the server', 'client lost'] as const) {
  t.test(`websocket ${how}: ends after the listeners of its close event`, async (t) => {
    const ended = await Ended.open(t)
    await ended.root.register(websocket)
    await ended.app.register(async (app) => {
      app.get('/', { websocket: true }, (socket, request) => {
        socket.on('close', () => { ended.note(request, 'socket') })
        socket.on('message', () => { if (how === 'closed by the server') socket.close(); else socket.send('back') })
      })
    })
    const port = await ended.listen()
    const sockets = await Promise.all(TENANTS.map(async (tenant) => {
      const socket = new WebSocket(`ws://127.0.0.1:${port}`, { headers: { 'x-tenant': tenant } })
      await new Promise((resolve) => { socket.once('open', resolve) })
      t.equal(ended.probes.get(tenant)!(), true)
      return socket
    }))
    const heard = Promise.all(sockets.map((socket) => new Promise((resolve) => { socket.once(how === 'closed by the server' ? 'close' : 'message', resolve) })))
    for (const socket of sockets) socket.send('message')
    await heard
    if (how === 'closed by the client') for (const socket of sockets) socket.close()
    if (how === 'client lost') for (const socket of sockets) socket.terminate()
    await ended.both()
    await ended.check(t, NEITHER)
  })
}

t.test('inject: ends after all hooks', async (t) => {
  const ended = await Ended.open(t)
  ended.app.get('/', async () => 'answer')
  await Promise.all(TENANTS.map((tenant) => ended.root.inject({ url: '/', headers: { 'x-tenant': tenant } })))
  await ended.both()
  await ended.check(t, ANSWERED)
})

t.test('an aborted request ends only after a hook that has begun', async (t) => {
  const both = gates(2)
  const ended = await Ended.open(t)
  const { promise: waiting, open: finish } = gate()
  ended.app.addHook('onRequestAbort', async (_request) => { both.reach(); await waiting })
  ended.app.get('/', async (request, reply) => { reply.raw.destroy(); await both.gone(request) })
  const port = await ended.listen()
  for (const tenant of TENANTS) {
    const socket = net.connect(port, '127.0.0.1').on('error', () => {})
    socket.write(`GET / HTTP/1.1\r\nHost: x\r\nx-tenant: ${tenant}\r\n\r\n`)
  }
  await both.reached
  for (let i = 0; i < 5; i++) await new Promise((resolve) => { setImmediate(resolve) })
  for (const tenant of TENANTS) t.equal(ended.probes.get(tenant)!(), true)
  finish()
  await ended.both()
  await ended.check(t, ABORTED)
})
