// A factory of an application with a planted bug: it keeps the tenant in a module variable.
import { setImmediate as turn } from 'node:timers/promises'
import Fastify, { type FastifyInstance } from 'fastify'

let tenant: unknown

export async function app (): Promise<FastifyInstance> {
  const app = Fastify()
  app.get('/orders', async (request) => {
    tenant = request.headers['x-tenant-id']
    await turn()
    return { tenant }
  })
  return app
}
