// @trpc/server: a batch is one request, and each procedure may have its own scope.
import { initTRPC } from '@trpc/server'
import { fastifyTRPCPlugin, type CreateFastifyContextOptions } from '@trpc/server/adapters/fastify'
import type { FastifyRequest } from 'fastify'
import t from 'tap'
import { createContext, key } from '../../lib/index.ts'
import { OWN, TENANTS, Watch } from './recipes/watch.ts'

const ctx = createContext({
  tenant: key<string>({ seed: (request) => request.headers['x-tenant'], log: true }),
  procedure: key<string>({ log: true })
})

const readNotes = async () => { // knows no request
  ctx.log.info('reading notes')
  return `notes of ${ctx.require('tenant')}`
}

const results = (text: string): unknown[] => (JSON.parse(text) as Array<{ result: { data: unknown } }>).map(({ result }) => result.data)

t.test('procedures of a batch: each has its own scope below the request\'s, and its name on its log lines', async (t) => {
  const watch = new Watch(t, ctx)
  const { app } = watch
  await app.register(ctx.plugin)
  const met = async (): Promise<void> => { await watch.meet('procedure') }

  const trpc = initTRPC.create()
  const procedure = trpc.procedure.use(({ path, next }) => ctx.run({ procedure: path }, () => next()))
  const router = trpc.router({
    name: procedure.query(async () => {
      await met()
      return ctx.get('procedure')
    }),
    notes: procedure.query(() => readNotes())
  })
  await app.register(fastifyTRPCPlugin, { prefix: '/trpc', trpcOptions: { router } })

  await watch.listen()
  const answers = await watch.askBoth('/trpc/notes,name,notes?batch=1&input={}')
  t.same(answers.map(results), TENANTS.map((tenant) => [`notes of ${tenant}`, 'name', `notes of ${tenant}`]))
  t.same(watch.lines.all('reading notes').map(({ tenant, procedure }) => `${tenant} ${procedure}`).sort(), ['acme notes', 'acme notes', 'globex notes', 'globex notes'])
  t.same(await watch.completed(), OWN)
  t.same(watch.lines.all('request completed').map(({ procedure }) => procedure), [undefined, undefined], 'the scope of a procedure ends with it')
})

t.test('without own scopes a value set by one procedure of a batch is visible to the others', async (t) => {
  const watch = new Watch(t, ctx)
  await watch.app.register(ctx.plugin)
  const trpc = initTRPC.create()
  const run = trpc.procedure.use(({ path, next }) => ctx.run({ procedure: path }, () => next()))
  const set = trpc.procedure.use(({ path, next }) => { ctx.set('procedure', path); return next() })
  const late = async () => {
    await new Promise((resolve) => { setImmediate(resolve) })
    return ctx.get('procedure')
  }
  const router = trpc.router({ a: set.query(late), b: set.query(late), c: run.query(late), d: run.query(late) })
  await watch.app.register(fastifyTRPCPlugin, { prefix: '/trpc', trpcOptions: { router } })
  await watch.listen()
  t.same(results(await watch.ask('acme', '/trpc/a,b?batch=1&input={}')), ['b', 'b'])
  t.same(results(await watch.ask('acme', '/trpc/c,d?batch=1&input={}')), ['c', 'd'])
})

t.test('createContext, middleware, a mutation, onError, responseMeta and a subscription by server-sent events run in the scope', async (t) => {
  const watch = new Watch(t, ctx)
  const { app } = watch
  const look = (place: string, { headers }: Pick<FastifyRequest, 'headers'>): void => { watch.see(place, headers['x-tenant']) }
  await app.register(ctx.plugin)
  const trpc = initTRPC.context<{ req: FastifyRequest }>().create()
  const procedure = trpc.procedure.use(async ({ ctx: { req }, next }) => {
    look('middleware, before', req)
    const result = await next()
    look('middleware, after', req)
    return result
  })
  const router = trpc.router({
    fails: procedure.mutation(async ({ ctx: { req } }) => {
      await watch.meet('mutation')
      look('mutation', req)
      throw new Error('failed')
    }),
    events: procedure.subscription(async function * ({ ctx: { req } }) {
      for (let i = 0; i < 3; i++) {
        look('async generator of a subscription', req)
        yield ctx.get('tenant')
        await watch.meet('events')
      }
    })
  })
  await app.register(fastifyTRPCPlugin, {
    prefix: '/trpc',
    trpcOptions: {
      router,
      createContext: async ({ req }: CreateFastifyContextOptions) => {
        await watch.meet('createContext')
        look('createContext', req)
        return { req }
      },
      onError: ({ req }: { req: FastifyRequest }) => { look('onError', req) },
      responseMeta: ({ ctx: context }: { ctx?: { req: FastifyRequest } | undefined }) => { look('responseMeta', context!.req); return {} }
    }
  })
  await watch.listen()
  const fails = await watch.askBoth('/trpc/fails', () => ({ method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' }))
  t.same(fails.map((text) => JSON.parse(text).error.message), ['failed', 'failed'])
  t.same(watch.told(), Object.fromEntries(['createContext', 'middleware, before', 'mutation', 'middleware, after', 'onError', 'responseMeta'].map((place) => [place, 'held'])))
  const events = await watch.askBoth('/trpc/events', () => ({ headers: { accept: 'text/event-stream' } }))
  t.same(events.map((text) => [...text.matchAll(/^data: "(\w+)"$/gm)].map(([, tenant]) => tenant)), TENANTS.map((tenant) => [tenant, tenant, tenant]))
  t.equal(watch.told()['async generator of a subscription'], 'held')
})
