import { expect, test } from '@jest/globals'
import Fastify from 'fastify'
import { createContext, key } from 'fastify-ctx'

test('a request by inject has its tenant', async () => {
  const ctx = createContext({ tenant: key({ seed: (request) => request.headers['x-tenant-id'] }) })
  const app = Fastify()
  await app.register(ctx.plugin)
  app.get('/', async () => ({ tenant: ctx.get('tenant') }))
  const answer = await app.inject({ url: '/', headers: { 'x-tenant-id': 'acme' } })
  await app.close()
  expect(answer.json().tenant).toBe('acme')
})
