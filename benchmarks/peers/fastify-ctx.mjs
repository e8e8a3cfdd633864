// This package, set to do what the others do: Fastify creates the id, and no header is read or sent for it.
import pino from 'pino'
import context, { ctx } from 'fastify-ctx'
import { bareFastify } from './bare.mjs'
import { addRoutes, counter, findTenant, findUser, lines } from './work.mjs'

export async function start ({ logs = false, requestId = { header: false, responseHeader: false, generate: counter() }, reenter = true } = {}) {
  const log = pino({}, lines)
  const app = bareFastify(logs && log)
  await app.register(context, {
    requestId,
    reenter,
    keys: { tenant: { seed: findTenant, log: true }, user: { seed: findUser, log: (user) => user.id } }
  })
  addRoutes(app, () => ({ id: ctx.get('requestId'), tenant: ctx.get('tenant'), user: ctx.get('user') }), log)
  await app.ready()
  return app
}
