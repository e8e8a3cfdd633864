// A called service receives the keys that are listed for it, and no other service receives any, not even after a redirect.
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import Fastify from 'fastify'
import { createContext, key } from 'fastify-ctx'
import { Pool, request } from 'undici'

/** Another service, which prints what it received. */
async function service (name: string, redirect?: string): Promise<{ readonly url: string, readonly close: () => void }> {
  const server = http.createServer(({ url, headers }, response) => {
    console.log(`${name} received tenant ${headers['x-tenant'] ?? 'none'}, id ${headers['x-request-id'] ?? 'none'}`)
    if (url === '/moved') response.writeHead(307, { location: redirect })
    response.end()
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close: () => { server.close() } }
}

const advertisers = await service('advertisers')
const orders = await service('orders', advertisers.url)

const ctx = createContext({
  tenant: key<string>({ seed: ({ headers }) => headers['x-tenant'], header: 'x-tenant' })
}, { propagate: { [orders.url]: ['requestId', 'tenant'] } })

const app = Fastify()
await app.register(ctx.plugin)

// A custom pool takes the interceptor; http.request takes the headers.
const pool = new Pool(orders.url, { connections: 1 })
const dispatcher = pool.compose(ctx.interceptor)

app.get('/', async () => {
  await fetch(orders.url)
  await fetch(advertisers.url)
  await fetch(`${orders.url}/moved`)
  await (await request(orders.url, { dispatcher })).body.dump()
  await once(http.get(orders.url, { headers: ctx.headersFor(orders.url) }), 'response')
  return 'done'
})

await app.inject({ url: '/', headers: { 'x-tenant': 'Café Zürich', 'x-request-id': 'demo-1' } })
await app.close()
await pool.destroy()
for (const { close } of [orders, advertisers]) close()
