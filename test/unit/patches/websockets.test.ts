import { once } from 'node:events'
import websocket from '@fastify/websocket'
import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import { WebSocket } from 'ws'
import { createContext, key } from '../../../lib/index.ts'
import { exchange, gate, listen, turns, type Tap } from '../../support/support.ts'

const ctx = createContext({ tenant: key<string>({ seed: (request) => request.headers['x-tenant-id'] }) })

async function start (t: Tap, routes: (app: FastifyInstance) => void, order: 'before' | 'after' = 'before'): Promise<{ readonly port: number, readonly open: (path: string, tenant: string) => Promise<WebSocket> }> {
  const app: FastifyInstance = Fastify()
  if (order === 'before') await app.register(ctx.plugin)
  await app.register(websocket)
  if (order === 'after') await app.register(ctx.plugin)
  app.register(async (app) => { routes(app) })
  const { port } = await listen(t, app)
  const open = async (path: string, tenant: string): Promise<WebSocket> => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, { headers: { 'x-tenant-id': tenant } })
    t.teardown(() => { socket.terminate() })
    await once(socket, 'open')
    return socket
  }
  return { port, open }
}

for (const order of ['before', 'after'] as const) {
  t.test(`registered ${order} @fastify/websocket: messages, pings and the close of a socket run in its scope, which lasts as long`, async (t) => {
    const ended: unknown[] = []
    const seen: unknown[] = []
    const over = gate()
    const held: Record<string, () => boolean> = {}
    const { open } = await start(t, (app) => {
      app.get('/', { websocket: true }, (socket) => {
        const tenant = ctx.require('tenant')
        held[tenant] = ctx.bind(() => ctx.has('tenant'))
        socket.on('message', (data: Buffer) => { socket.send(`${data.toString()} of ${ctx.get('tenant')}`) })
        ctx.onEnd(() => { ended.push(ctx.get('tenant')) })
        socket.on('ping', () => { seen.push(['ping', tenant, ctx.get('tenant')]) })
        socket.on('close', () => {
          seen.push(['close', tenant, ctx.get('tenant')])
          if (tenant === 'A') over.open()
        })
      })
    }, order)
    const a = await open('/', 'A')
    const b = await open('/', 'B')
    for (const [socket, tenant] of [[b, 'B'], [a, 'A'], [b, 'B']] as const) {
      socket.send('hello')
      const [data] = await once(socket, 'message') as [Buffer]
      t.equal(data.toString(), `hello of ${tenant}`)
    }
    a.ping()
    await once(a, 'pong')
    t.same([held.A!(), held.B!()], [true, true])
    a.close()
    await over.promise
    await turns()
    t.same(seen, [['ping', 'A', 'A'], ['close', 'A', 'A']])
    t.same(ended, ['A'], 'the other one continues')
    t.same([held.A!(), held.B!()], [true, true], 'no value is dropped by force')
    b.send('still')
    const [data] = await once(b, 'message') as [Buffer]
    t.equal(data.toString(), 'still of B')
  })
}

t.test('websockets of a route that is not covered work as usual', async (t) => {
  const app = Fastify()
  await app.register(websocket)
  app.register(async (app) => {
    await app.register(ctx.plugin)
    app.get('/in', { websocket: true }, (socket) => { socket.send(String(ctx.get('tenant'))) })
  })
  app.register(async (app) => {
    app.get('/out', { websocket: true }, (socket) => {
      socket.on('message', () => { socket.send(String(ctx.get('tenant'))) })
    })
  })
  const { port } = await listen(t, app)
  for (const [path, text] of [['/in', 'acme'], ['/out', 'undefined']] as const) {
    const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, { headers: { 'x-tenant-id': 'acme' } })
    t.teardown(() => { socket.terminate() })
    socket.on('open', () => { if (path === '/out') socket.send('hello') })
    const [data] = await once(socket, 'message') as [Buffer]
    t.equal(data.toString(), text)
  }
})

t.test('an upgrade header has no effect without websockets', async (t) => {
  const app = Fastify()
  await app.register(ctx.plugin)
  app.get('/', async () => ctx.get('tenant'))
  const { port } = await listen(t, app)
  t.match(await exchange(port, 'GET / HTTP/1.1\r\nhost: x\r\nx-tenant-id: acme\r\nconnection: close\r\nupgrade: h2c\r\n\r\n'), /acme$/)
})

t.test('a websocket opened by injectWS, without a network socket, runs in its scope', async (t) => {
  const app: FastifyInstance = Fastify()
  await app.register(ctx.plugin)
  await app.register(websocket)
  app.get('/', { websocket: true }, (socket) => { socket.on('message', () => { socket.send(ctx.get('tenant') ?? 'none') }) })
  await app.ready()
  const socket = await app.injectWS('/', { headers: { 'x-tenant-id': 'acme' } })
  const answer = once(socket, 'message')
  socket.send('who?')
  t.equal(String((await answer)[0]), 'acme')
  socket.terminate()
  await app.close()
})
