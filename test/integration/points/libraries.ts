import { EventEmitter, once } from 'node:events'
import httpProxy from '@fastify/http-proxy'
import jwt from '@fastify/jwt'
import replyFrom from '@fastify/reply-from'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import mercurius from 'mercurius'
import { WebSocket } from 'ws'
import { fastifyHas } from '../../support/support.ts'
import { portOf, TENANTS, tenantOf, type Area, type Bench } from './bench.ts'
import { addHook, makeHook, STYLES } from './hooks.ts'

interface Upstream {
  readonly base: string
  /** Records that the first part of this request's response has arrived, so that the second is sent. */
  readonly arrived: (request: Pick<FastifyRequest, 'headers'>) => void
}

/** An upstream that answers in two parts. */
async function openUpstream (bench: Bench): Promise<Upstream> {
  const arrivals = new EventEmitter()
  const upstream = Fastify({ forceCloseConnections: true })
  upstream.all('/*', (request, reply) => {
    reply.hijack()
    arrivals.once(String(request.headers['x-request-id']), () => { setImmediate(() => { reply.raw.end('two') }) })
    reply.raw.write('one ')
  })
  await upstream.listen({ port: 0, host: '127.0.0.1' })
  bench.onClose(() => upstream.close())
  return { base: `http://127.0.0.1:${portOf(upstream)}`, arrived: ({ headers }) => { arrivals.emit(String(headers['x-request-id'])) } }
}

function watch (bench: Bench, app: FastifyInstance, where: string): void {
  for (const phase of ['onRequest', 'preHandler', 'onSend', 'onResponse'] as const) {
    for (const style of STYLES) addHook(app, phase, makeHook(phase, style, (request) => { bench.see(`${where}: ${phase} hook, ${style}`, request) }))
  }
}

/** Sends requests one after another on one connection to the upstream, then two at once. */
async function askInTurn (bench: Bench, where: string, path: string): Promise<void> {
  for (const tenant of ['alpha', 'beta', 'gamma']) await bench.ask({ tenant, path })
  // With inject, a request whose body the upstream did not read rejects.
  const withBody = bench.transport === 'inject' && !fastifyHas('answersOnce') ? [] : ['alpha', 'beta', 'gamma']
  for (const tenant of withBody) await bench.ask({ tenant, path, body: `{"of":"${tenant}"}` }).catch(() => {})
  await bench.both({ path })
  await bench.until(`${where}: onResponse hook, async`, 5 + withBody.length)
}

export const proxies: Area = {
  name: 'Proxies (@fastify/reply-from, @fastify/http-proxy)',
  transports: ['http1', 'http2', 'inject'],
  async visit (bench) {
    const { base, arrived } = await openUpstream(bench)
    await bench.app(async (app) => {
      await app.register(replyFrom, { base })
      watch(bench, app, 'reply-from')
      app.all('/', (request, reply) => {
        bench.see('reply-from: handler', request)
        reply.from('/', {
          rewriteRequestHeaders: (_request, headers) => { bench.see('reply-from: rewriteRequestHeaders', request); return headers },
          rewriteHeaders: (headers) => { bench.see('reply-from: rewriteHeaders', request); arrived(request); return headers },
          onResponse: (_request, reply, response) => {
            bench.see('reply-from: its onResponse', request)
            reply.send('stream' in response ? response.stream : response)
          }
        })
      })
    })
    await askInTurn(bench, 'reply-from', '/')
    await bench.app(async (app) => {
      watch(bench, app, 'http-proxy')
      await app.register(httpProxy, {
        upstream: base,
        preHandler: async (request) => { bench.see('http-proxy: its preHandler', request) },
        replyOptions: { rewriteHeaders: (headers, request) => { arrived(request!); return headers } }
      })
    })
    await askInTurn(bench, 'http-proxy', '/')
    await bench.app(async (app) => {
      watch(bench, app, 'http-proxy that fails')
      app.setErrorHandler((error, request, reply) => { bench.see('http-proxy that fails: error handler', request); reply.send(error) })
      await app.register(httpProxy, { upstream: 'http://127.0.0.1:1' })
    })
    await askInTurn(bench, 'http-proxy that fails', '/')
  }
}

export const tokens: Area = {
  name: 'JWT (@fastify/jwt)',
  transports: ['http1', 'inject'],
  async visit (bench) {
    const app = await bench.app(async (app) => {
      await app.register(jwt, {
        secret: (request: FastifyRequest, _token: unknown, done: (error: Error | null, secret: string) => void) => {
          bench.see('secret function', request)
          setImmediate(done, null, 'secret')
        },
        trusted: async (request) => { bench.see('trusted function', request); return true }
      })
      app.get('/', async (request) => {
        await bench.meet('jwt')
        await request.jwtVerify()
        bench.see('after await request.jwtVerify()', request)
        return 'text'
      })
      app.get('/callback', (request, reply) => {
        request.jwtVerify((error) => {
          bench.see('callback of request.jwtVerify', request)
          reply.send(error ?? 'text')
        })
      })
      app.get('/sign', async (_request, reply) => reply.jwtSign({ of: 'someone' }))
    })
    const tokens = await Promise.all(TENANTS.map(async (tenant) => (await app.inject({ url: '/sign', headers: { 'x-tenant': tenant, 'x-request-id': `${tenant}.sign` } })).body))
    for (const path of ['/', '/callback']) {
      await Promise.all(TENANTS.map((tenant, i) => bench.ask({ tenant, path, headers: { authorization: `Bearer ${tokens[i]}` } })))
    }
    await bench.until('callback of request.jwtVerify')
  }
}

const SCHEMA = `
  type Dog { name: String, owner: String, breed: String }
  type Query { dogs(tenant: String): [Dog], fails: String }
  type Mutation { bark(tenant: String): String }
  type Subscription { barked(tenant: String): String }
`

interface Asked { readonly tenant: string }

function resolversOf (bench: Bench): object {
  return {
    Query: {
      dogs: async (_root: unknown, asked: Asked) => {
        bench.see('resolver', asked.tenant)
        await bench.meet('dogs')
        bench.see('resolver, after a wait', asked.tenant)
        return [1, 2].map((i) => ({ name: `dog ${i}`, tenant: asked.tenant }))
      },
      fails: async () => { throw new Error('failed') }
    },
    Dog: { breed: (dog: Asked) => { bench.see('resolver of a field', dog.tenant); return 'mixed' } },
    Mutation: {
      bark: async (_root: unknown, { tenant }: Asked, { pubsub }: { pubsub: { publish (event: object): Promise<void> } }) => {
        bench.see('resolver of a mutation', tenant)
        await pubsub.publish({ topic: 'barked', payload: { barked: tenant } })
        bench.see('after await pubsub.publish', tenant)
        return 'barked'
      }
    },
    Subscription: {
      barked: {
        subscribe: async (_root: unknown, { tenant }: Asked, { pubsub }: { pubsub: { subscribe (topic: string): Promise<unknown> } }) => {
          bench.see('subscribe of a subscription', tenant)
          return await pubsub.subscribe('barked')
        },
        resolve: (payload: { barked: string }, { tenant }: Asked) => { bench.see('resolve of a subscription, published by any request', tenant); return payload.barked }
      }
    }
  }
}

export const graphql: Area = {
  name: 'GraphQL (mercurius)',
  transports: ['http1', 'inject'],
  async visit (bench) {
    const app = await bench.app(async (app) => {
      await app.register(mercurius, {
        schema: SCHEMA,
        resolvers: resolversOf(bench) as never,
        loaders: {
          Dog: {
            async owner (queries, { reply }) {
              const tenant = tenantOf(reply.request)
              bench.see('loader', tenant)
              await bench.meet('loader')
              bench.see('loader, after a wait', tenant)
              return queries.map(() => 'owner')
            }
          }
        },
        context: async (request) => { bench.see('context function', request); return {} },
        errorFormatter: (execution, context) => {
          const { request } = context.reply
          bench.see('errorFormatter', request)
          return { statusCode: 200, response: { data: null, errors: execution.errors ?? [] } as never }
        },
        subscription: { context: async (_socket, request) => { bench.see('context of a subscription', request as never); return {} } }
      })
      app.graphql.addHook('preExecution', async (_schema, _document, context) => { if ('reply' in context && context.reply !== undefined) bench.see('preExecution hook', context.reply.request) })
      app.graphql.addHook('onResolution', async (_execution, context) => { bench.see('onResolution hook', context.reply.request) })
    })
    const query = (tenant: string, text: string) => bench.ask({ tenant, path: '/graphql', body: JSON.stringify({ query: text }) })
    await Promise.all(TENANTS.map((tenant) => query(tenant, `{ dogs(tenant: "${tenant}") { name owner breed } }`)))
    await Promise.all(TENANTS.map((tenant) => query(tenant, '{ fails }')))
    if (bench.transport === 'http1') await subscriptions(bench, app, query)
  }
}

async function subscriptions (bench: Bench, app: FastifyInstance, query: (tenant: string, text: string) => Promise<unknown>): Promise<void> {
  const sockets = await Promise.all(TENANTS.map(async (tenant) => {
    const socket = new WebSocket(`ws://127.0.0.1:${portOf(app)}/graphql`, 'graphql-transport-ws', { headers: { 'x-tenant': tenant, 'x-request-id': `${tenant}.ws` } })
    await once(socket, 'open')
    socket.send(JSON.stringify({ type: 'connection_init' }))
    await once(socket, 'message')
    socket.send(JSON.stringify({ id: '1', type: 'subscribe', payload: { query: `subscription { barked(tenant: "${tenant}") }` } }))
    return socket
  }))
  await bench.until('subscribe of a subscription')
  await new Promise((resolve) => { setImmediate(resolve) })
  await Promise.all(TENANTS.map((tenant) => query(tenant, `mutation { bark(tenant: "${tenant}") }`)))
  await bench.until('resolve of a subscription, published by any request', 4)
  for (const socket of sockets) socket.close()
  await Promise.all(sockets.map((socket) => once(socket, 'close')))
}
