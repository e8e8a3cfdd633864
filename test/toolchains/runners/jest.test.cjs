/* global expect, test */
const Fastify = require('fastify')
const { createContext, key } = require('fastify-ctx')

test('a request has its tenant, over a socket and by inject', async () => {
  const ctx = createContext({ tenant: key({ seed: (request) => request.headers['x-tenant-id'] }) })
  const app = Fastify()
  await app.register(ctx.plugin)
  app.get('/', async () => ({ tenant: ctx.get('tenant') }))
  const headers = { 'x-tenant-id': 'acme' }
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  const answers = [await (await fetch(url, { headers })).json(), (await app.inject({ url: '/', headers })).json()]
  await app.close()
  expect(answers.map(({ tenant }) => tenant)).toEqual(['acme', 'acme'])
})
