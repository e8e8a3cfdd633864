import Fastify, { type FastifyRequest } from 'fastify'
import pino from 'pino'
import t from 'tap'
import { kFormatters, notFoundContext, pinoSymbols, requestIdLabel, routeContext, symbolOf } from '../../../lib/patches/fastify-internals.ts'
import { fastifyHas } from '../../support/support.ts'

t.test('symbolOf: the symbol of a description, of an object or what it inherits from', async (t) => {
  const inherited = Symbol('inherited')
  const own = Symbol('own')
  const object = Object.assign(Object.create({ [inherited]: 1 }) as object, { [own]: 2 })
  t.equal(symbolOf(object, 'own'), own)
  t.equal(symbolOf(object, 'inherited'), inherited)
  t.equal(symbolOf(object, 'other'), undefined)
  t.equal(symbolOf(Object.create(null) as object, 'own'), undefined)
})

t.test('what is not found is undefined, and looked for again', async (t) => {
  t.equal(routeContext({} as FastifyRequest), undefined)
  t.equal(notFoundContext({} as never), undefined)

  t.test('then found in a request of Fastify', async (t) => {
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

t.test('pinoSymbols', async (t) => {
  t.test('of a pino logger and of its children, the same', async (t) => {
    const logger = pino({ enabled: false, nestedKey: 'nested', messageKey: 'message', errorKey: 'error' })
    const symbols = pinoSymbols(logger)!
    t.equal(pinoSymbols(logger.child({})), symbols)
    const read = logger.child({ a: 1 }) as unknown as Record<symbol, unknown>
    t.match(read[symbols.bindings], /"a":1$/)
    t.equal(read[symbols.nestedKey], 'nested')
    t.equal(read[symbols.messageKey], 'message')
    t.equal(read[symbols.errorKey], 'error')
    t.type(read[symbols.write], 'function')
    t.type(read[symbols.time], 'function')
    t.match((read[symbols.levels] as object), { 30: '{"level":30' })
    t.ok(symbols.mixin in read)
    t.ok(kFormatters in read)
  })

  t.test('of what is no pino: none', async (t) => {
    class Other { info (): void {} }
    for (const logger of [{}, Fastify().log, new Other(), new Other(), Object.create(null) as object, { constructor: 'none' }]) t.equal(pinoSymbols(logger), undefined)
  })
})
