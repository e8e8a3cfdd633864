// @fastify/http-proxy: the client's own tenant header is dropped, and ours is sent.
import { once } from 'node:events'
import httpProxy from '@fastify/http-proxy'
import websocket from '@fastify/websocket'
import Fastify from 'fastify'
import t from 'tap'
import { WebSocket } from 'ws'
import { createContext, key } from '../../lib/index.ts'
import { gate, listen, type Tap } from '../support/support.ts'
import { OWN, TENANTS, Watch } from './recipes/watch.ts'

/** What arrived at the service behind the proxy after both tenants' requests were there. */
async function upstream (t: Tap) {
  const arrived = new Watch(t)
  const app = Fastify({ forceCloseConnections: true })
  await app.register(websocket)
  app.post('/*', async ({ headers, body, url }) => {
    await arrived.meet('upstream')
    return { url, tenant: headers['x-tenant'] ?? null, id: headers['x-request-id'], body }
  })
  app.get('/feed', { websocket: true }, (socket, { headers }) => {
    socket.on('message', (message) => { socket.send(`${String(message)}: ${String(headers['x-tenant'])} ${String(headers['x-request-id'])}`) })
  })
  return (await listen(t, app)).url
}

/** The tenant comes from a token. A client may send anything in x-tenant. */
const contextFor = (orders: string) => createContext({
  tenant: key<string>({ seed: ({ headers }) => headers.authorization?.replace('token of ', ''), log: true, header: 'x-tenant' })
}, { propagate: { [orders]: ['requestId', 'tenant'] } })

const spoofed = (authorization?: string) => ({
  method: 'POST',
  headers: { 'x-tenant': 'umbrella', 'content-type': 'application/json', ...(authorization === undefined ? {} : { authorization }) },
  body: '{"a":1}'
})

t.test('the client\'s own x-tenant is dropped and ours is sent; the response and log lines have the right tenant', async (t) => {
  const orders = await upstream(t)
  const ctx = contextFor(orders)
  const watch = new Watch(t, ctx)
  const { app } = watch
  await app.register(ctx.plugin)

  await app.register(httpProxy, {
    upstream: orders,
    prefix: '/orders',
    replyOptions: {
      rewriteRequestHeaders: (_request, { 'x-tenant': _said, ...headers }) => ({ ...headers, ...ctx.headersFor(orders) })
    }
  })

  app.addHook('onResponse', async ({ headers }) => { watch.see('onResponse', headers.authorization?.replace('token of ', '')) })
  await watch.listen()
  const answers = await watch.askBoth('/orders/7', (tenant) => spoofed(`token of ${tenant}`))
  t.same(answers.map((text) => JSON.parse(text)), TENANTS.map((tenant) => ({ url: '/7', tenant, id: `id-${tenant}`, body: { a: 1 } })))
  t.same(await watch.completed(), OWN)
  const nobody = await Promise.all(TENANTS.map(async (tenant) => await watch.ask(tenant, '/orders', spoofed())))
  t.same(nobody.map((text) => (JSON.parse(text) as { tenant: unknown }).tenant), [null, null], 'nor is it sent without a tenant')
})

t.test('without the recipe a client that sends the header is another tenant behind the proxy', async (t) => {
  const orders = await upstream(t)
  const ctx = contextFor(orders)
  const watch = new Watch(t, ctx)
  await watch.app.register(ctx.plugin)
  await watch.app.register(httpProxy, { upstream: orders })
  await watch.listen()
  const answers = await watch.askBoth('/', (tenant) => spoofed(`token of ${tenant}`))
  t.same(answers.map((text) => (JSON.parse(text) as { tenant: unknown }).tenant), ['umbrella', 'umbrella'])
})

t.test('websockets through the proxy: the connection has our headers; hooks for messages of the upstream run in the scope, those for messages of the client need ctx.snapshot', async (t) => {
  const orders = await upstream(t)
  const ctx = contextFor(orders)
  const watch = new Watch(t, ctx)
  const { app } = watch
  const scopes = new WeakMap<object, ReturnType<typeof ctx.snapshot>>()
  const connected = gate()
  const said = (data: unknown): string => String(data).replace(/:.*/, '')
  await app.register(ctx.plugin)
  await app.register(httpProxy, {
    upstream: orders,
    websocket: true,
    wsClientOptions: { rewriteRequestHeaders: (headers: object) => ({ ...headers, ...ctx.headersFor(orders) }) },
    wsHooks: {
      onConnect: (_context: object, source: WebSocket) => {
        scopes.set(source, ctx.snapshot())
        watch.meet('onConnect').then(connected.open)
      },
      onIncomingMessage: (_context: object, source: WebSocket, _target: WebSocket, { data }: { data: unknown }) => {
        watch.see('onIncomingMessage', said(data))
        scopes.get(source)!(() => { watch.see('onIncomingMessage, by ctx.snapshot', said(data)) })
      },
      onOutgoingMessage: (_context: object, _source: WebSocket, _target: WebSocket, { data }: { data: unknown }) => { watch.see('onOutgoingMessage', said(data)) }
    }
  } as never)
  await watch.listen()
  const sockets = TENANTS.map((tenant) => new WebSocket(`${watch.url.replace('http', 'ws')}/feed`, { headers: { authorization: `token of ${tenant}`, 'x-request-id': `id-${tenant}`, 'x-tenant': 'umbrella' } }))
  t.teardown(() => { for (const socket of sockets) socket.terminate() })
  await Promise.all(sockets.map((socket) => once(socket, 'open')))
  await connected.promise
  for (const [i, socket] of sockets.entries()) {
    socket.send(TENANTS[i]!)
    const [message] = await once(socket, 'message') as [Buffer]
    t.equal(String(message), `${TENANTS[i]}: ${TENANTS[i]} id-${TENANTS[i]}`)
  }
  t.same(watch.told(), { onIncomingMessage: 'lost', 'onIncomingMessage, by ctx.snapshot': 'held', onOutgoingMessage: 'held' })
})
