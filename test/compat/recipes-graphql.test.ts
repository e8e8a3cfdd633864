// mercurius: resolvers, loaders, batched queries, and subscriptions to which any request publishes.
import { once } from 'node:events'
import type { FastifyRequest } from 'fastify'
import mercurius from 'mercurius'
import t from 'tap'
import { WebSocket } from 'ws'
import type { Tap } from '../support/support.ts'
import { ctx } from './recipes/context.ts'
import { headersOf, OWN, TENANTS, Watch } from './recipes/watch.ts'

/** The notes of each tenant, as a repository without a request reads them. */
async function readNotes (): Promise<Array<{ text: string, authorId: string }>> {
  return [1, 2].map((i) => ({ text: `note ${i} of ${ctx.require('tenant')}`, authorId: `author ${i}` }))
}

async function readAuthors (ids: readonly string[]): Promise<string[]> {
  return ids.map((id) => `${id} of ${ctx.require('tenant')}`)
}

/** The previous user, if there was one. */
function setUser (id: string): string {
  const before = String(ctx.get('user')?.id)
  ctx.set('user', { id })
  return before
}

const post = (body: unknown) => () => ({ method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })

t.test('resolvers and loaders read through ctx, each in the scope of its request', async (t) => {
  const watch = new Watch(t)
  const { app } = watch
  await app.register(ctx.plugin)

  await app.register(mercurius, {
    schema: 'type Note { text: String, author: String } type Query { notes: [Note] }',
    resolvers: { Query: { notes: () => readNotes() } },
    loaders: { Note: { author: (queries: Array<{ obj: { authorId: string } }>) => readAuthors(queries.map(({ obj }) => obj.authorId)) } }
  })

  await watch.listen()
  const answers = await watch.askBoth('/graphql', post({ query: '{ notes { text author } }' }))
  t.same(answers.map((text) => JSON.parse(text).data.notes), TENANTS.map((tenant) => [1, 2].map((i) => ({ text: `note ${i} of ${tenant}`, author: `author ${i} of ${tenant}` }))))
  t.same(await watch.completed(), OWN)
})

t.test('while the other tenant\'s request waits at the same place: resolver, loader, hooks and a batch of queries keep their scope', async (t) => {
  const watch = new Watch(t)
  const { app } = watch
  const look = async (place: string, request: FastifyRequest): Promise<void> => {
    await watch.meet(place)
    watch.see(place, request.headers['x-tenant'])
  }
  await app.register(ctx.plugin)
  await app.register(mercurius, {
    allowBatchedQueries: true,
    schema: 'type Note { author: String } type Query { notes: [Note], set(user: String): String, own(user: String): String }',
    resolvers: {
      Query: {
        notes: async (_root: unknown, _args: unknown, { reply }: { reply: { request: FastifyRequest } }) => {
          await look('resolver', reply.request)
          return [{}]
        },
        set: async (_root: unknown, { user }: { user: string }) => setUser(user),
        own: async (_root: unknown, { user }: { user: string }) => ctx.run({}, () => setUser(user))
      }
    },
    loaders: { Note: { author: async (queries: unknown[], { reply }: { reply: { request: FastifyRequest } }) => { await look('loader', reply.request); return queries.map(() => 'author') } } },
    context: async (request) => { await look('context', request); return {} }
  })
  app.graphql.addHook('onResolution', async (_execution, { reply }) => { watch.see('onResolution hook', reply.request.headers['x-tenant']) })
  await watch.listen()
  await watch.askBoth('/graphql', post({ query: '{ notes { author } }' }))
  t.same(watch.told(), { context: 'held', resolver: 'held', loader: 'held', 'onResolution hook': 'held' })

  for (const [field, befores] of [['set', ['undefined', 'ada']], ['own', ['undefined', 'undefined']]] as const) {
    const batch = await watch.askBoth('/graphql', post([{ query: `{ is: ${field}(user: "ada") }` }, { query: `{ is: ${field}(user: "bob") }` }]))
    const told = batch.map((text) => (JSON.parse(text) as Array<{ data: { is: string } }>).map(({ data }) => data.is))
    t.same(told, [befores, befores], field === 'set' ? 'the queries of a batch are one request, and have one scope' : 'or one each, by ctx.run')
  }
})

t.test('subscriptions run in the scope of their socket, for every publisher', async (t) => {
  const watch = new Watch(t)
  const { app } = watch
  const look = (place: string, request: { headers: Record<string, unknown> }): void => { watch.see(place, request.headers['x-tenant']) }
  interface Subscribed { readonly pubsub: { subscribe (topic: string): Promise<unknown> }, readonly reply: { readonly request: FastifyRequest } }
  await app.register(ctx.plugin)

  await app.register(mercurius, {
    schema: 'type Query { ok: Boolean } type Mutation { publish(text: String): Boolean } type Subscription { published: String }',
    resolvers: {
      Mutation: {
        publish: async (_root: unknown, { text }: { text: string }, { pubsub }: { pubsub: { publish (event: object): Promise<void> } }) => {
          await pubsub.publish({ topic: 'published', payload: { published: `${text} by ${ctx.get('tenant')}` } })
          return true
        }
      },
      Subscription: {
        published: {
          subscribe: mercurius.withFilter(async (_root: unknown, _args: unknown, { pubsub, reply }: Subscribed) => {
            look('subscribe', reply.request)
            return await pubsub.subscribe('published') as never
          }, (_payload: unknown, _args: unknown, { reply }: Subscribed) => {
            look('filter', reply.request)
            return true
          }),
          resolve: ({ published }: { published: string }, _args: unknown, { reply }: Subscribed) => {
            look('resolve', reply.request)
            return `${published} for ${ctx.get('user')?.id}`
          }
        }
      }
    } as never,
    subscription: {
      onConnect: ({ payload }) => {
        ctx.set('user', { id: payload.user })
        return true
      }
    }
  })

  await watch.listen()
  const sockets = await subscribed(t, watch)
  await watch.lines.until('here', TENANTS.length)
  const told = Promise.all(sockets.map(async (socket) => JSON.parse(String((await once(socket, 'message'))[0])).payload.data.published as string))
  await watch.ask('globex', '/graphql', post({ query: 'mutation { publish(text: "news") }' })())
  t.same(await told, TENANTS.map((tenant) => `news by globex for user of ${tenant}`))
  t.same(watch.told(), { subscribe: 'held', filter: 'held', resolve: 'held' })
})

/** Sockets of both tenants, with the user in the payload of connection_init. */
async function subscribed (t: Tap, watch: Watch): Promise<WebSocket[]> {
  return await Promise.all(TENANTS.map(async (tenant) => {
    const socket = new WebSocket(`${watch.url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws', { headers: headersOf(tenant) })
    t.teardown(() => { socket.terminate() })
    await once(socket, 'open')
    socket.send(JSON.stringify({ type: 'connection_init', payload: { user: `user of ${tenant}` } }))
    await once(socket, 'message')
    socket.send(JSON.stringify({ id: '1', type: 'subscribe', payload: { query: 'subscription { published }' } }))
    return socket
  }))
}
