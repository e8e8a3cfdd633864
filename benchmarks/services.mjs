// The same small service in each way of having a context. All of them do the same work: an id, a tenant from a header and
// a user are there for each request, and the handler reads the three.
import Fastify, { LogController } from 'fastify'
import requestContextPlugin, { requestContext } from '@fastify/request-context'
import pino from 'pino'
import context, { ctx } from 'fastify-ctx'

const nowhere = { write () {} }

/** One counter for all, so that no variant pays for an id of another kind. */
function ids () {
  let last = 0
  return () => `req-${(++last).toString(36)}`
}

const variants = {
  // No context at all: the handler has the request.
  bare () {
    return {
      register () {},
      read: (request) => ({ id: request.id, tenant: request.headers['x-tenant-id'], user: 'u1' }),
      logger: pino({}, nowhere)
    }
  },
  'request-context' () {
    return {
      register (app) {
        app.register(requestContextPlugin, {
          defaultStoreValues: (request) => ({ requestId: request.id, tenant: request.headers['x-tenant-id'], user: 'u1' })
        })
      },
      read: () => ({ id: requestContext.get('requestId'), tenant: requestContext.get('tenant'), user: requestContext.get('user') }),
      // What its users write to correlate their lines.
      logger: pino({ mixin: () => ({ reqId: requestContext.get('requestId'), tenant: requestContext.get('tenant'), user: requestContext.get('user') }) }, nowhere)
    }
  },
  'fastify-ctx' (app) {
    return {
      register (app) {
        app.register(context, {
          requestId: { header: false, responseHeader: false, generate: ids() },
          keys: { tenant: { seed: (request) => request.headers['x-tenant-id'], log: true }, user: { seed: () => 'u1', log: true } }
        })
      },
      read: () => ({ id: ctx.get('requestId'), tenant: ctx.get('tenant'), user: ctx.get('user') }),
      logger: undefined
    }
  }
}
// The control: what differs between these two is noise.
variants['bare again'] = variants.bare

export const names = ['bare', 'bare again', 'request-context', 'fastify-ctx']

/** Builds the service of a variant, with as many log lines in its handler as asked for. */
export async function service (name, lines) {
  const variant = variants[name]()
  const logged = lines > 0 && (variant.logger === undefined || name.startsWith('bare') ? { loggerInstance: pino({}, nowhere) } : { loggerInstance: variant.logger })
  const app = Fastify({ ...logged, logController: new LogController({ disableRequestLogging: true }), genReqId: ids() })
  variant.register(app)
  const handler = async () => {
    const values = variant.read({ id: 'x', headers: {} })
    for (let i = 0; i < lines; i++) app.log.info('line')
    return values
  }
  app.get('/', name.startsWith('bare') ? async (request) => { for (let i = 0; i < lines; i++) request.log.info('line'); return variant.read(request) } : handler)
  app.post('/', name.startsWith('bare') ? async (request) => variant.read(request) : handler)
  await app.ready()
  return app
}
