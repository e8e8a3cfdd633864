import { setTimeout as wait } from 'node:timers/promises'
import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import { createContext } from '../../../lib/index.ts'
import { Lines, listen, warnings } from '../../support/support.ts'

const UUID = /^[\da-f-]{36}$/

/** Every id of one request: on each line, in the handler, in the response. */
async function idsOf (t: Parameters<typeof listen>[0], generate: unknown): Promise<unknown[]> {
  const lines = new Lines(t)
  const ctx = createContext({})
  const app: FastifyInstance = Fastify({ logger: { stream: lines } })
  await app.register(ctx.plugin)
  app.register(async (child) => {
    child.setGenReqId(generate as never)
    child.get('/', async (request) => {
      request.log.info('in the handler')
      app.log.info('of the application')
      return [request.id, ctx.get('requestId'), request.ctx.requestId]
    })
  })
  const { url } = await listen(t, app)
  const answer = await fetch(url)
  t.equal(answer.status, 200)
  await lines.until('request completed')
  const written = ['incoming request', 'in the handler', 'of the application', 'request completed'].map((message) => lines.one(message).reqId as unknown)
  return [...written, ...await answer.json() as unknown[], answer.headers.get('x-request-id')]
}

const UNSAFE: Readonly<Record<string, () => unknown>> = {
  'text that is no header': () => 'id-€',
  nothing: () => undefined,
  'a number': () => 42,
  'a promise': async () => 'id-1',
  'an empty text': () => '',
  'an error that is thrown': () => { throw new Error('no id') }
}

for (const [what, generate] of Object.entries(UNSAFE)) {
  t.test(`a generator set after the plugin that returns ${what}: one new id everywhere, and a warning`, async (t) => {
    const seen = warnings(t, 'FST_CTX_REQUEST_ID')
    const ids = await idsOf(t, generate)
    t.equal(new Set(ids).size, 1)
    t.match(ids[0], UUID)
    await wait(10)
    t.ok(seen.length <= 1, 'once per process for each kind')
  })
}

t.test('a safe id from a generator is used, and without a generator Fastify\'s own ids are', async (t) => {
  t.same([...new Set(await idsOf(t, () => 'id-1'))], ['id-1'])
  t.match((await idsOf(t, undefined))[0], /^req-/)
})

t.test('a request that is routed again keeps its id', async (t) => {
  const ctx = createContext({})
  const app = Fastify()
  await app.register(ctx.plugin)
  let made = 0
  app.setGenReqId(() => `made-${++made}`)
  app.get('/', (request, reply) => {
    reply.hijack()
    request.raw.url = '/again'
    app.routing(request.raw, reply.raw)
  })
  app.get('/again', async (request) => [request.id, ctx.get('requestId')])
  const { url } = await listen(t, app)
  const answer = await fetch(url)
  t.same([...await answer.json() as string[], answer.headers.get('x-request-id')], ['made-1', 'made-1', 'made-1'])
})

t.test('setGenReqId is restored when the application closes', async (t) => {
  const app = Fastify()
  const { setGenReqId } = app
  await app.register(createContext({}).plugin)
  t.not(app.setGenReqId, setGenReqId)
  await app.close()
  t.equal(app.setGenReqId, setGenReqId)
})

t.test('app.genReqId() creates an id without a request, as Fastify\'s own does', async (t) => {
  const app = Fastify()
  await app.register(createContext({}).plugin)
  const make = (): string => (app as unknown as { genReqId: () => string }).genReqId()
  t.match(make(), UUID)
  app.setGenReqId(() => 'id-1')
  t.equal(make(), 'id-1')
})
