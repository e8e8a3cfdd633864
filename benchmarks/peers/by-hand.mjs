// Code without a package: its own storage, entered in an onRequest hook, and a pino mixin for log lines.
import { AsyncLocalStorage } from 'node:async_hooks'
import pino from 'pino'
import { bareFastify } from './bare.mjs'
import { addRoutes, findTenant, findUser, lines } from './work.mjs'

const als = new AsyncLocalStorage()

export async function start ({ logs = false } = {}) {
  const { request: requestLog, module } = loggersWithMixin(() => als.getStore())
  const app = bareFastify(logs && requestLog)
  app.addHook('onRequest', (request, _reply, done) => {
    als.run({ requestId: request.id, tenant: findTenant(request), user: findUser(request) }, done)
  })
  addRoutes(app, () => {
    const store = als.getStore()
    return { id: store?.requestId, tenant: store?.tenant, user: store?.user }
  }, module)
  await app.ready()
  return app
}

/** Two loggers, because the logger of a request already has the id. With one logger, its lines would have the id twice. */
export function loggersWithMixin (values) {
  return {
    request: pino({
      mixin () {
        const { tenant, user } = values() ?? {}
        return { tenant, user: user?.id }
      }
    }, lines),
    module: pino({
      mixin () {
        const { requestId, tenant, user } = values() ?? {}
        return { reqId: requestId, tenant, user: user?.id }
      }
    }, lines)
  }
}
