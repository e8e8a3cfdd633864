// memory.test.ts runs this file with --expose-gc and the names of scenarios. Its only output is the number of live objects, as JSON.
import { EventEmitter, once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { asyncLocalStorage } from '@fastify/request-context'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import { createContext, key } from '../../lib/index.ts'

interface User { readonly id: string }

const ctx = createContext({
  tenant: key<string>({ log: true }),
  user: key<User>({ seed: (request) => tracked({ id: `user-${request.id}` }), log: (user) => user.id }),
  account: key<{ readonly plan: string }>({ log: true })
})

/** The objects that the scenario gave to requests, referenced weakly. */
let seen: Array<WeakRef<object>> = []

function tracked<T extends object> (value: T): T {
  seen.push(new WeakRef(value))
  return value
}

/** How many of them are alive after a full collection. Removes the dead ones. */
async function alive (): Promise<number> {
  // An object read from a WeakRef stays alive until the end of the turn, and Node releases a request a few turns later.
  for (let i = 0; i < 5; i++) {
    await turn()
    globalThis.gc!()
  }
  seen = seen.filter((reference) => reference.deref() !== undefined)
  return seen.length
}

async function start (routes: (app: FastifyInstance) => void): Promise<FastifyInstance> {
  const app = Fastify({ logger: { level: 'info', stream: { write () {} } }, forceCloseConnections: true })
  await app.register(ctx.plugin)
  routes(app)
  await app.listen({ port: 0, host: '127.0.0.1' })
  return app
}

const agent = new http.Agent({ keepAlive: true, maxSockets: 20, maxFreeSockets: 20 })

function open (app: FastifyInstance): http.ClientRequest {
  return http.get({ port: (app.server.address() as AddressInfo).port, agent })
}

async function get (app: FastifyInstance): Promise<void> {
  const [response] = await once(open(app), 'response') as [http.IncomingMessage]
  response.resume()
  await once(response, 'close')
}

/** Counts the live objects of 20 concurrent requests, each on its own socket: in the handler, and after the end. */
async function together (use: (request: FastifyRequest) => void): Promise<Record<string, number>> {
  const gate = new EventEmitter().setMaxListeners(0)
  seen = []
  let arrived = 0
  const app = await start((app) => {
    app.get('/', async (request) => {
      use(request)
      if (++arrived === 20) gate.emit('all')
      await once(gate, 'open')
      return ctx.require('user').id
    })
  })
  const all = once(gate, 'all')
  const answers = Array.from({ length: 20 }, async () => { await get(app) })
  await all
  const during = await alive()
  gate.emit('open')
  await Promise.all(answers)
  const { length: sockets } = Object.values(agent.freeSockets).flat()
  const after = await alive()
  await app.close()
  return { during, sockets, after }
}

/**
 * The same for clients that disconnect while their requests wait, so that no socket stays. The handler awaits `wait`; `stop` ends
 * the code that still runs afterwards.
 */
async function gone (wait: () => Promise<unknown>, stop = (): void => {}): Promise<Record<string, number>> {
  const gate = new EventEmitter().setMaxListeners(0)
  seen = []
  let arrived = 0
  let closed = 0
  const app = await start((app) => {
    app.get('/', async (_request, reply) => {
      reply.raw.on('close', () => { if (++closed === 20) setImmediate(() => gate.emit('gone')) })
      if (++arrived === 20) gate.emit('all')
      await wait()
    })
  })
  const all = once(gate, 'all')
  const clients = Array.from({ length: 20 }, () => open(app).on('error', () => {}))
  await all
  const during = await alive()
  const lost = once(gate, 'gone')
  for (const client of clients) client.destroy()
  await lost
  const after = await alive()
  stop()
  const stopped = await alive()
  await app.close()
  return { during, after, stopped }
}

/** Clients that disconnect while their handlers wait for something that is still to come, each with its own interval. */
async function running (): Promise<Record<string, number>> {
  const gate = new EventEmitter().setMaxListeners(0)
  const timers: NodeJS.Timeout[] = []
  return await gone(async () => {
    timers.push(setInterval(read, 1e8))
    await once(gate, 'open')
  }, () => {
    for (const timer of timers.splice(0)) clearInterval(timer)
    gate.emit('open')
  })
}

const shared = new EventEmitter().setMaxListeners(0)
const sharedBound = ctx.bindEmitter(new EventEmitter().setMaxListeners(0))
const read = (): void => { ctx.get('user') }

const scenarios: Record<string, () => Promise<Record<string, number>>> = {
  idle: async () => await together(() => {}),
  gone: async () => await gone(async () => { await new Promise(() => {}) }),
  running,
  timer: async () => await together(() => { setTimeout(read, 1e8) }),
  interval: async () => await together(() => { setInterval(read, 1e8) }),
  bind: async () => await together(() => { shared.on('event', ctx.bind(read)) }),
  bindEmitter: async () => await together(() => { sharedBound.on('event', read) }),
  request: async () => await together((request) => { setInterval(() => request.ctx.requestId, 1e8) }),
  snapshot: async () => await together(() => { const inScope = ctx.snapshot(); shared.on('event', () => inScope(read)) }),

  // Each has two objects: the user, and an account that is logged unmapped.
  logged: async () => await together(() => {
    ctx.set('account', tracked({ plan: 'large' }))
    ctx.log.info('a line has fields, and those are of the account')
    setInterval(read, 1e8)
  }),

  // Each has two objects: the user of the request and the user of the nested scope.
  nested: async () => await together(() => {
    ctx.run({ tenant: 'inner', user: tracked({ id: 'inner' }) }, () => {
      ctx.log.info('a line has fields, and those have their source')
      setInterval(read, 1e8)
    })
  }),

  // The same after many other scopes. Each request has twice the objects.
  nestedEarly: async () => await together(() => {
    ctx.run({ tenant: 'inner', user: tracked({ id: 'inner' }) }, () => { setInterval(read, 1e8) })
    for (let i = 0; i < 100; i++) ctx.run({ tenant: `${i}` }, () => {})
  }),

  growth: async () => {
    const app = await start((app) => {
      app.get('/', async (request) => {
        tracked(request.raw)
        tracked(asyncLocalStorage.getStore()!)
        await ctx.run({ tenant: request.id }, async () => {
          tracked(asyncLocalStorage.getStore()!)
          ctx.log.info('within')
          await turn()
        })
        return ctx.require('user').id
      })
    })
    const measure = async (requests: number): Promise<{ objects: number, bytes: number }> => {
      const objects: number[] = []
      for (let done = 0; done < requests; done += 1000) {
        await Promise.all(Array.from({ length: 10 }, async () => { for (let i = 0; i < 100; i++) await get(app) }))
        objects.push(await alive())
      }
      return { objects: Math.max(...objects), bytes: process.memoryUsage().heapUsed }
    }
    const early = await measure(2000)
    const late = await measure(8000)
    return { early: early.objects, late: late.objects, grownBytes: late.bytes - early.bytes }
  }
}

const results: Record<string, object> = {}
for (const name of process.argv.slice(2)) results[name] = await scenarios[name]!()
// Stop what the scenarios left running.
process.stdout.write(JSON.stringify(results), () => { process.exit() })
