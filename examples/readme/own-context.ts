import { createContext, key, type ValuesOf } from 'fastify-ctx'

export const ctx = createContext({
  tenant: key<string>({ seed: (request) => request.headers['x-tenant-id'], log: true, carry: true, locked: true }),
  user: key<User>({ log: (user) => user.id, missing: 401 }),
  token: key<string>() // never logged, never carried
})

declare module 'fastify-ctx/types' {
  interface ContextValues extends ValuesOf<typeof ctx> {} // the types of request.ctx
}

// Not in the README: an application, a user, and the requests.
import assert from 'node:assert/strict'
import Fastify from 'fastify'

interface User { readonly id: string, readonly name: string }

const app = Fastify()
await app.register(ctx.plugin)
app.get('/me', { config: { context: { require: ['tenant', 'user'] } } }, async () => { // without a user the answer is 401
  return { tenant: ctx.require('tenant'), user: ctx.require('user').name }
})
app.addHook('preHandler', async (request) => {
  if (request.headers.authorization !== undefined) request.ctx.user = { id: 'ada', name: 'Ada' }
})

const headers = { 'x-tenant-id': 'acme' }
assert.equal((await app.inject({ url: '/me', headers })).statusCode, 401)
assert.deepEqual((await app.inject({ url: '/me', headers: { ...headers, authorization: 'Bearer …' } })).json(), { tenant: 'acme', user: 'Ada' })
await app.close()
