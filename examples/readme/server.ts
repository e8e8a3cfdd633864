// server.ts
import Fastify from 'fastify'
import { ctx } from './context.ts'

const app = Fastify({ logger: true })
await app.register(ctx.plugin)
app.get('/me', {
  config: { context: { require: ['tenant', 'user'] } } // without a user: 401
}, async () => ({ tenant: ctx.require('tenant'), user: ctx.require('user').name }))

// Not in the README: an authentication, and the requests.
import assert from 'node:assert/strict'

app.addHook('preHandler', async (request) => {
  if (request.headers.authorization !== undefined) request.ctx.user = { id: 'ada', name: 'Ada' }
})
app.get('/headers', async () => [ctx.headersFor('https://stock.internal.example')['x-tenant-id'], ctx.headersFor('https://elsewhere.example')['x-tenant-id'] ?? null])

const headers = { 'x-tenant-id': 'acme' }
assert.equal((await app.inject({ url: '/me', headers })).statusCode, 401)
assert.deepEqual((await app.inject({ url: '/me', headers: { ...headers, authorization: 'Bearer …' } })).json(), { tenant: 'acme', user: 'Ada' })
assert.deepEqual((await app.inject({ url: '/headers', headers })).json(), ['acme', null])
await app.close()
