// app.ts
import Fastify from 'fastify'
import context, { ctx } from 'fastify-ctx'

declare module 'fastify-ctx' {
  interface ContextValues { tenant: string, user: { id: string } }
}

const app = Fastify({ logger: true })
await app.register(context, {
  keys: {
    tenant: { seed: (request) => request.headers['x-tenant-id'], log: true },
    user: { log: (user) => user.id }
  }
})
app.addHook('preHandler', async (request) => {
  request.ctx.user = { id: 'ada' } // your authentication
})
app.get('/orders', async () => readOrders())
await app.listen({ port: 3000 })

async function readOrders () { // nobody passes the request, the logger or the tenant
  ctx.log.info('reading orders')
  return { tenant: ctx.require('tenant'), orders: [] }
}

// Not in the README: one request.
import assert from 'node:assert/strict'
import type { AddressInfo } from 'node:net'

const { port } = app.server.address() as AddressInfo
const answer = await fetch(`http://localhost:${port}/orders`, { headers: { 'x-tenant-id': 'acme', 'x-request-id': 'demo-1' } })
assert.deepEqual(await answer.json(), { tenant: 'acme', orders: [] })
assert.equal(answer.headers.get('x-request-id'), 'demo-1')
await app.close()
