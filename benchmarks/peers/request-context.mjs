// @fastify/request-context, and the mixin of pino that its users write to correlate their lines.
import pino from 'pino'
import requestContextPlugin, { requestContext } from '@fastify/request-context'
import { bareFastify } from './bare.mjs'
import { addRoutes, findTenant, findUser, lines } from './work.mjs'

export async function start ({ logs = false } = {}) {
  const requestLog = pino({ mixin: () => ({ tenant: requestContext.get('tenant'), user: requestContext.get('user')?.id }) }, lines)
  const app = bareFastify(logs && requestLog)
  await app.register(requestContextPlugin, {
    defaultStoreValues: (request) => ({ requestId: request.id, tenant: findTenant(request), user: findUser(request) })
  })
  const read = () => ({ id: requestContext.get('requestId'), tenant: requestContext.get('tenant'), user: requestContext.get('user') })
  // A logger of its own: that of a request has its id already, which would stand twice on its lines.
  const log = pino({ mixin: () => ({ reqId: requestContext.get('requestId'), tenant: requestContext.get('tenant'), user: requestContext.get('user')?.id }) }, lines)
  addRoutes(app, read, log)
  await app.ready()
  return app
}
