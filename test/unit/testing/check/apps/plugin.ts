// A plugin, as fastify-cli loads it.
import type { FastifyInstance } from 'fastify'

export default async function plugin (app: FastifyInstance): Promise<void> {
  app.get('/echo/:text', async (request) => ({ ...request.params as object, tenant: request.headers['x-tenant-id'] }))
}
