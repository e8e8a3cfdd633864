// Applications with a planted bug, and a correct one. Each takes its tenant from a header and works like many real ones.
import { AsyncLocalStorage } from 'node:async_hooks'
import { EventEmitter } from 'node:events'
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises'
import DataLoader from 'dataloader'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import { createPool } from 'generic-pool'
import PQueue from 'p-queue'
import { createContext, key } from '../../../lib/index.ts'

const tenantKey = () => key<string>({ seed: (request) => request.headers['x-tenant-id'], log: true })

/** Keeps the tenant of a request in a module variable. */
export async function moduleVariable (): Promise<FastifyInstance> {
  const app = Fastify()
  let tenant: unknown
  app.addHook('onRequest', async (request) => { tenant = request.headers['x-tenant-id'] })
  app.get('/orders', async () => {
    await turn()
    return { tenant }
  })
  return app
}

/** The same, but awaits only the body. Unless a body arrives slowly, no two requests overlap. */
export async function moduleVariableOverBody (): Promise<FastifyInstance> {
  const app = Fastify()
  let tenant: unknown
  app.addHook('onRequest', async (request) => { tenant = request.headers['x-tenant-id'] })
  app.post('/orders', async () => ({ tenant }))
  return app
}

/** One DataLoader serves all requests, so values loaded for one reach the others. */
export const cachingLoader = (): Promise<FastifyInstance> => sharedLoader({})

/** One DataLoader serves all requests, and loads a batch in the scope of the first request in it. */
export const batchingLoader = (): Promise<FastifyInstance> => sharedLoader({ cache: false, batchScheduleFn: (load) => { setTimeout(load, 2) } })

async function sharedLoader (options: DataLoader.Options<string, unknown>): Promise<FastifyInstance> {
  const ctx = createContext({ tenant: tenantKey() })
  const app = Fastify()
  await app.register(ctx.plugin)
  const orders = new DataLoader(async (ids: readonly string[]) => ids.map((id) => ({ id, tenant: ctx.get('tenant') })), options)
  app.get('/orders', async () => ({ rows: [await orders.load('1'), await orders.load('2')] }))
  return app
}

/** The same with DataLoader's own schedule: the handler calls `load` at once, so only requests of one turn share a batch. */
export async function loaderAtOnce (): Promise<FastifyInstance> {
  const ctx = createContext({ tenant: tenantKey() })
  const app = Fastify()
  await app.register(ctx.plugin)
  const orders = new DataLoader(async (ids: readonly string[]) => ids.map((id) => ({ id, tenant: ctx.get('tenant') })), { cache: false })
  app.get('/orders', async () => await orders.load('1'))
  return app
}

/** The first request creates the subscriber, which then handles all messages in the scope of that request. */
export async function lazySubscriber (): Promise<FastifyInstance> {
  const ctx = createContext({ tenant: tenantKey() })
  const app = Fastify()
  await app.register(ctx.plugin)
  let replies: EventEmitter | undefined
  const subscribe = (): EventEmitter => {
    const wire = new EventEmitter()
    const made = new EventEmitter()
    const deliver = ctx.bind((id: number) => { made.emit(`reply ${id}`, { tenant: ctx.get('tenant') }) })
    wire.on('message', (id: number) => { setImmediate(deliver, id) })
    made.on('publish', (id: number) => { wire.emit('message', id) })
    return made
  }
  let last = 0
  app.get('/orders', async () => {
    replies ??= subscribe()
    const id = ++last
    const reply = new Promise((resolve) => { replies!.once(`reply ${id}`, resolve) })
    replies.emit('publish', id)
    return await reply
  })
  return app
}

/** A session store answers all lookups of one turn at once, and runs all callbacks in the scope of the first request. */
export async function sessionStore (): Promise<FastifyInstance> {
  const storage = new AsyncLocalStorage<{ readonly tenant: unknown }>()
  const app = Fastify()
  let waiting: Array<() => void> = []
  const load = (callback: () => void): void => {
    if (waiting.length === 0) {
      process.nextTick(() => {
        const batch = waiting
        waiting = []
        for (const callback of batch) callback()
      })
    }
    waiting.push(callback)
  }
  app.addHook('onRequest', (request, _reply, done) => { storage.run({ tenant: request.headers['x-tenant-id'] }, done) })
  app.addHook('onRequest', (_request, _reply, done) => { load(done) })
  app.get('/orders', async () => ({ tenant: storage.getStore()?.tenant }))
  return app
}

/** A pool returns any free connection for each query, and a connection keeps what was SET on it. */
export async function poolWithSet (): Promise<FastifyInstance> {
  const ctx = createContext({ tenant: tenantKey() })
  const app = Fastify()
  await app.register(ctx.plugin)
  const connections = [{ tenant: '' }, { tenant: '' }]
  let next = 0
  const query = async (run: (connection: { tenant: string }) => unknown): Promise<unknown> => run(connections[next++ % connections.length]!)
  app.get('/orders', async () => {
    const tenant = ctx.require('tenant')
    // Sets both, because the author tested it with one request: alone, each request has what it set.
    await Promise.all(connections.map(() => query((connection) => { connection.tenant = tenant })))
    return { tenant: await query((connection) => connection.tenant) }
  })
  return app
}

/** A queue starts a task in the scope of the request whose task ended before. */
export async function queue (): Promise<FastifyInstance> {
  const ctx = createContext({ tenant: tenantKey() })
  const app = Fastify()
  await app.register(ctx.plugin)
  const tasks = new PQueue({ concurrency: 2 })
  app.get('/orders', async () => await tasks.add(async () => {
    await delay(2)
    return { tenant: ctx.get('tenant') }
  }))
  return app
}

/** A pool calls a waiting callback in the scope of the request that released the connection. */
export async function callbackPool (): Promise<FastifyInstance> {
  const ctx = createContext({ tenant: tenantKey() })
  const app = Fastify()
  await app.register(ctx.plugin)
  const waiting: Array<() => void> = []
  let free = 2
  const acquire = (callback: () => void): void => {
    if (free > 0) { free--; callback() } else waiting.push(callback)
  }
  const release = (): void => {
    const next = waiting.shift()
    if (next === undefined) free++
    else next()
  }
  app.get('/orders', (_request, reply) => {
    acquire(() => {
      setTimeout(() => {
        const tenant = ctx.get('tenant')
        release()
        reply.send({ tenant })
      }, 2)
    })
  })
  return app
}

/** All of these done correctly, plus what a real service has: logs, headers, errors, work after the response. */
export async function correct (options: FastifyServerOptions = {}): Promise<FastifyInstance> {
  const ctx = createContext({ tenant: tenantKey(), user: key<{ readonly id: string }>({ log: ({ id }) => id }) })
  const app = Fastify(options)
  await app.register(ctx.plugin)
  const loaders = ctx.memo(() => new DataLoader(async (ids: readonly string[]) => ids.map((id) => ({ id, tenant: ctx.get('tenant') })), { batchScheduleFn: (load) => { setTimeout(load, 1) } }))
  const tasks = new PQueue({ concurrency: 2 })
  const pool = createPool({ create: async () => ({}), destroy: async () => {} }, { max: 2 })
  app.addHook('onClose', async () => { await pool.drain(); await pool.clear() })
  app.addHook('preHandler', async () => {
    await turn()
    ctx.set('user', { id: `user of ${ctx.get('tenant')}` })
  })
  app.addHook('onSend', async (_request, reply) => { reply.header('x-tenant', ctx.get('tenant')) })
  app.get('/orders', async (request) => {
    request.log.info('reading orders')
    const queued = tasks.add(ctx.bind(async () => { await turn(); return ctx.get('tenant') }))
    const pooled = pool.use(async () => { await turn(); return ctx.get('tenant') })
    return { rows: await loaders().loadMany(['1', '2']), queued: await queued, pooled: await pooled }
  })
  app.post('/orders', async (request, reply) => {
    ctx.after(async () => { await turn(); ctx.log.info('order mailed') })
    reply.code(201)
    return { order: request.body, tenant: ctx.get('tenant') }
  })
  app.get('/fails', async () => { throw new Error(`nothing for ${ctx.get('tenant')}`) })
  return app
}
