import t from 'tap'
import Fastify from 'fastify'
import { createContext, key } from 'fastify-ctx'

t.test('a request has its tenant', async (t) => {
  const ctx = createContext({ tenant: key({ seed: (request) => request.headers['x-tenant-id'] }) })
  const app = Fastify()
  await app.register(ctx.plugin)
  app.get('/', async () => ({ tenant: ctx.get('tenant') }))
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  const answer = await (await fetch(url, { headers: { 'x-tenant-id': 'acme' } })).json()
  await app.close()
  t.equal(answer.tenant, 'acme')
})
