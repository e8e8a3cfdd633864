// Routes say which keys they need: without them the answer is the key's own status, and the handler is not called.
import Fastify from 'fastify'
import { createContext, key } from 'fastify-ctx'

const ctx = createContext({
  tenant: key<string>({ seed: ({ headers }) => headers['x-tenant-id'] }),
  user: key<{ readonly id: string }>({ missing: 401 })
})

// Elsewhere, once: `interface ContextValues extends ValuesOf<typeof ctx> {}` tells the routes which keys there are.

const app = Fastify()
await app.register(ctx.plugin)
app.addHook('preHandler', async ({ headers: { authorization } }) => {
  if (authorization !== undefined) ctx.set('user', { id: authorization.slice('Bearer '.length) })
})

app.get('/invoices', { config: { context: { require: ['tenant', 'user'] } } }, async () => {
  return `invoices of ${ctx.require('user').id} of ${ctx.require('tenant')}`
})

const url = await app.listen({ host: '127.0.0.1', port: 0 })
for (const headers of [{}, { 'x-tenant-id': 'acme' }, { 'x-tenant-id': 'acme', authorization: 'Bearer ada' }]) {
  const answer = await fetch(`${url}/invoices`, { headers })
  console.log(answer.status, await answer.text())
}
console.table(ctx.policy())
await app.close()
