// A Fastify instance with several kinds of route: with schemas, without, and one that returns nothing it receives.
import Fastify from 'fastify'
import { createContext, key } from '../../../../../lib/index.ts'

const ctx = createContext({ tenant: key<string>({ seed: (request) => request.headers['x-tenant-id'] as string | undefined }) })
const app = Fastify()
await app.register(ctx.plugin)
const headers = { type: 'object', properties: { 'x-tenant-id': { type: 'string' } } }
app.get('/orders', { schema: { headers } }, async () => ({ tenant: ctx.get('tenant') }))
app.post('/orders', { schema: { headers, body: { type: 'object', properties: { sku: { type: 'string', examples: ['tea'] }, note: { type: 'string' } } } } }, async (request, reply) => reply.code(201).send({ order: request.body, tenant: ctx.get('tenant') }))
app.get('/refused/:id', async (request, reply) => reply.code(404).send({ of: (request.params as { id: string }).id }))
app.get('/health', async () => 'ok')
app.get('/silent/:id', async () => 'ok')

export default app
