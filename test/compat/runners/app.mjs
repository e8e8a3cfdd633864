import Fastify from 'fastify'
import context, { ctx } from 'fastify-ctx'

/** A service as its tests import it. With `shared`, it keeps the tenant in a variable that requests share. */
export async function build ({ shared = false } = {}) {
  const app = Fastify()
  await app.register(context, { keys: { tenant: (request) => request.headers['x-tenant-id'] } })
  let last
  app.addHook('onRequest', async () => { last = ctx.get('tenant') })
  app.get('/orders', async () => {
    await new Promise((resolve) => { setImmediate(resolve) })
    return { tenant: shared ? last : ctx.get('tenant') }
  })
  return app
}

/** The context that the tests of a function see, at any depth. */
export async function currentTenant () {
  await null
  return ctx.get('tenant')
}

export const orders = (canary) => ({ url: '/orders', headers: { 'x-tenant-id': canary } })
