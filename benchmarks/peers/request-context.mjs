// @fastify/request-context, with the pino mixin that its users write to correlate their lines.
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
  // A separate logger, because the logger of a request already has the id, which would be on its lines twice.
  const log = pino({ mixin: () => ({ reqId: requestContext.get('requestId'), tenant: requestContext.get('tenant'), user: requestContext.get('user')?.id }) }, lines)
  addRoutes(app, read, log)
  await app.ready()
  return app
}
