// The pattern for Prisma, with a stand-in that behaves like it: see recipes/prisma.ts.
import t from 'tap'
import { ctx } from './recipes/context.ts'
import { PrismaClient } from './recipes/prisma.ts'
import { OWN, TENANTS, Watch } from './recipes/watch.ts'

t.test("$on('query') runs where the engine was started; an extension of the client runs in the scope of its query", async (t) => {
  const watch = new Watch(t)
  const { app } = watch
  await app.register(ctx.plugin)

  const prisma = new PrismaClient().$extends({
    query: {
      async $allOperations ({ model, operation, args, query }) {
        const begun = performance.now()
        try {
          return await query(args)
        } finally {
          watch.see('$allOperations', args)
          ctx.log.info({ model, operation, ms: performance.now() - begun }, 'query')
        }
      }
    }
  })

  prisma.$on('query', ({ params }) => { watch.see("$on('query')", params) })
  prisma.$on('query', ctx.bind(({ params }: { params: unknown }) => { watch.see("$on('query'), bound at the start", params) }))
  app.get('/', async ({ headers }) => {
    await watch.meet('before')
    const found = await prisma.note.findMany(headers['x-tenant'])
    await watch.meet('after')
    watch.see('after the query', headers['x-tenant'])
    return found
  })
  await watch.listen()
  t.same(await watch.askBoth('/'), [...TENANTS])
  t.same(watch.told(), { "$on('query')": 'swapped', "$on('query'), bound at the start": 'lost', $allOperations: 'held', 'after the query': 'held' })
  t.same(watch.lines.all('query').map(({ tenant, reqId, model }) => [tenant, reqId, model]).sort(), TENANTS.map((tenant) => [tenant, `id-${tenant}`, 'Note']))
  t.same(await watch.completed(), OWN)
})

t.test('a query that ctx.run returns is sent outside its scope, one that is awaited in it is sent inside', async (t) => {
  const sent: unknown[] = []
  const prisma = new PrismaClient().$extends({
    query: { $allOperations ({ args, query }) { sent.push(ctx.get('tenant')); return query(args) } }
  })
  await ctx.run({ tenant: 'acme' }, () => prisma.note.findMany({}))
  await ctx.run({ tenant: 'acme' }, async () => await prisma.note.findMany({}))
  t.same(sent, [undefined, 'acme'])
})
