import Fastify, { type FastifyRequest } from 'fastify'
import t from 'tap'
import { notFoundContext, requestIdLabel, routeContext, wrappedErrorHandlers } from '../../../lib/patches/fastify-internals.ts'
import { fastifyHas } from '../../support/support.ts'

t.test('an internal that is not found is undefined, and is searched again', async (t) => {
  t.equal(routeContext({} as FastifyRequest), undefined)
  t.equal(notFoundContext({} as never), undefined)

  t.test('and found in a request of Fastify', async (t) => {
    const app = Fastify()
    app.get('/found/:id', { handlerTimeout: 7000 }, async (request) => {
      const route = routeContext(request)!
      return { url: route.config?.url, handler: typeof route.handler, handlerTimeout: route.handlerTimeout ?? 'none', server: route.server === request.server, notFound: typeof notFoundContext(route)?.handler }
    })
    const found = { url: '/found/:id', handler: 'function', handlerTimeout: fastifyHas('handlerTimeout') ? 7000 : 'none', server: true }
    t.match((await app.inject('/found/1')).json(), found)
    const other = Fastify()
    other.get('/', async (request) => ({ found: routeContext(request) !== undefined, notFound: typeof notFoundContext(routeContext(request)!) }))
    other.setNotFoundHandler(async () => 'none')
    t.same((await other.inject('/')).json(), { found: true, notFound: 'object' })
  })
})

t.test('requestIdLabel', async (t) => {
  t.equal(requestIdLabel(Fastify()), 'reqId')
  t.equal(requestIdLabel(Fastify({ requestIdLogLabel: 'trace' })), 'trace')
  t.equal(requestIdLabel({ initialConfig: { requestIdLogLabel: 'trace' } } as never), 'trace', 'of a Fastify without a log controller')
  t.equal(requestIdLabel({ initialConfig: {} } as never), 'reqId')
})

t.test('wrappedErrorHandlers: none if Fastify stores its error handlers differently', async (t) => {
  for (const errorHandler of [undefined, null, 'text', {}, Object.create({ func: 'no function' })]) t.equal(wrappedErrorHandlers({ errorHandler } as never, (hook) => hook), undefined)
})
