import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import { createContext, key } from '../../../lib/index.ts'
import { listen } from '../../support/support.ts'

t.test('request.ctx is one object for a request, from the opening of its scope', async (t) => {
  const ctx = createContext({ tenant: key<string>({ seed: () => 'A' }) })
  const app: FastifyInstance = Fastify()
  const before: unknown[] = []
  app.addHook('onRequest', async (request) => {
    const { ctx } = request
    before.push(ctx.get('tenant' as never), request.ctx === ctx)
  })
  await app.register(ctx.plugin)
  let first: unknown
  app.addHook('preHandler', async (request) => { first = request.ctx })
  app.get('/', async (request) => [request.ctx === first, request.ctx.get('tenant' as never)])
  const { url } = await listen(t, app)
  t.same(await (await fetch(url)).json(), [true, 'A'])
  t.same(before, [undefined, false], 'no value, and a new object on each read, before it opens')
})

t.test('a request that is routed again into the part of another context has the ctx of that part, and keeps its own', async (t) => {
  const [outer, inner] = [createContext({ tenant: key<string>({ seed: () => 'A' }) }), createContext({ tenant: key<string>({ seed: () => 'B' }) })]
  const app: FastifyInstance = Fastify()
  const seen: unknown[] = []
  await app.register(async (child) => {
    await child.register(outer.plugin)
    child.get('/outer', async (request, reply) => {
      seen.push(request.ctx.get('tenant' as never))
      reply.hijack()
      request.raw.url = '/inner'
      app.routing(request.raw, reply.raw)
      await new Promise((resolve) => { reply.raw.once('close', resolve) })
      seen.push(request.ctx.get('tenant' as never))
    })
  })
  await app.register(async (child) => {
    await child.register(inner.plugin)
    child.get('/inner', async (request) => {
      seen.push(request.ctx.get('tenant' as never))
      return 'ok'
    })
  })
  const { url } = await listen(t, app)
  t.equal(await (await fetch(`${url}/outer`)).text(), 'ok')
  for (let i = 0; i < 100 && seen.length < 3; i++) await new Promise((resolve) => setTimeout(resolve, 5))
  t.same(seen, ['A', 'B', 'A'])
})
