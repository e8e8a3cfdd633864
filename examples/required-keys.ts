// Routes declare the keys that they need. Without them the response has the key's own status, and the handler does not run.
import Fastify from 'fastify'
import { createContext, key } from 'fastify-ctx'

const ctx = createContext({
  tenant: key<string>({ seed: ({ headers }) => headers['x-tenant-id'] }),
  user: key<{ readonly id: string }>({ missing: 401 })
})

// In one other file: `interface ContextValues extends ValuesOf<typeof ctx> {}` declares the keys for the routes.

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
