import { once } from 'node:events'
import websocket from '@fastify/websocket'
import type { FastifyInstance } from 'fastify'
import { WebSocket } from 'ws'
import { portOf, TENANTS, type Area, type Bench } from './bench.ts'

function connect (app: FastifyInstance, path: string, tenant: string): WebSocket {
  return new WebSocket(`ws://127.0.0.1:${portOf(app)}${path}`, { headers: { 'x-tenant': tenant, 'x-request-id': `${tenant}.ws` } })
}

async function visit (bench: Bench, order: string, before: (app: FastifyInstance) => unknown, after: (app: FastifyInstance) => unknown): Promise<void> {
  const point = (name: string): string => `${name}, @fastify/websocket ${order}`
  const app = await bench.app(async (app) => {
    await after(app)
    // In a plugin, because @fastify/websocket sees only routes that are declared after it is loaded.
    await app.register(async (app) => {
      app.addHook('preValidation', async (request) => { bench.see(point('preValidation hook of the upgrade'), request) })
      app.get('/callback', { websocket: true }, (socket, request) => {
        bench.see(point('handler'), request)
        for (const event of ['message', 'ping', 'pong', 'close'] as const) {
          socket.on(event, () => {
            bench.see(point(`'${event}' listener`), request)
            // The scope ends with the socket. Work after 'close' outlives it.
            if (event !== 'close') setImmediate(() => { bench.see(point(`setImmediate in a '${event}' listener`), request) })
          })
        }
        socket.addEventListener('message', () => { bench.see(point('addEventListener(\'message\')'), request) })
        socket.on('message', (data) => { socket.send(data, () => { bench.see(point('callback of send'), request) }) })
        socket.ping()
      })
      app.get('/async', { websocket: true }, async (socket, request) => {
        await null
        bench.see(point('async handler, after a wait'), request)
        for await (const [data] of onMessages(socket)) {
          bench.see(point('for await of messages'), request)
          socket.send(String(data))
        }
      })
      app.get('/thrown', { websocket: true }, async (socket, request) => {
        socket.on('close', () => { bench.see(point('\'close\' listener after the client was lost'), request) })
        socket.send('ready')
      })
    })
  }, { before })
  for (const path of ['/callback', '/async']) {
    const clients = TENANTS.map((tenant) => connect(app, path, tenant))
    await Promise.all(clients.map((client) => once(client, 'open')))
    for (let i = 0; i < 3; i++) {
      for (const client of clients) {
        client.send(String(i))
        await once(client, 'message')
      }
    }
    if (path === '/callback') {
      for (const client of clients) client.ping()
      await bench.until(point('setImmediate in a \'ping\' listener'))
    }
    for (const client of clients) client.close()
    await Promise.all(clients.map((client) => once(client, 'close')))
  }
  await bench.until(point('\'close\' listener'))
  const lost = TENANTS.map((tenant) => connect(app, '/thrown', tenant))
  await Promise.all(lost.map((client) => once(client, 'message')))
  for (const client of lost) client.terminate()
  await bench.until(point('\'close\' listener after the client was lost'))
}

async function * onMessages (socket: WebSocket): AsyncGenerator<unknown[]> {
  const ended = new AbortController()
  socket.on('close', () => { ended.abort() })
  try {
    while (true) yield await once(socket, 'message', { signal: ended.signal })
  } catch {}
}

export const websockets: Area = {
  name: 'WebSockets (@fastify/websocket)',
  transports: ['http1'],
  async visit (bench) {
    await visit(bench, 'after it', () => {}, (app) => app.register(websocket))
    await visit(bench, 'before it', (app) => app.register(websocket), () => {})
  }
}
