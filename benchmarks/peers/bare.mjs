// Fastify without a context: the handler has the request and passes it on.
import Fastify, { LogController } from 'fastify'
import pino from 'pino'
import { addRoutes, counter, findTenant, findUser, lines } from './work.mjs'

export async function start ({ logs = false } = {}) {
  const log = pino({}, lines)
  const app = bareFastify(logs && log)
  addRoutes(app, (request) => ({ id: request.id, tenant: findTenant(request), user: findUser(request) }), log)
  await app.ready()
  return app
}

/**
 * Without Fastify's own two log lines per request, which would be the same for all variants.
 *
 * @param logger `false` for no logger, which is fastest
 */
export function bareFastify (logger) {
  return Fastify({ ...(logger !== false && { loggerInstance: logger }), logController: new LogController({ disableRequestLogging: true }), genReqId: counter() })
}
