// costs.test.ts runs this file with --expose-gc, a young generation that never fills, and no compiler, because optimization changes allocations. Prints as JSON
// what requests allocate and hold, with and without a context.
import { createHook } from 'node:async_hooks'
import { setImmediate as turn } from 'node:timers/promises'
import Fastify, { type FastifyInstance } from 'fastify'
import { createContext, key, type Key } from '../../lib/index.ts'

const WARM_UP = 300
const REQUESTS = 200
const HELD = 1000

const gate: { promise: Promise<void>, open: () => void } = { promise: Promise.resolve(), open: () => {} }

/** A service without a context, or with this many declared keys, of which each request uses one. */
async function start (keys: number): Promise<FastifyInstance> {
  const app = Fastify()
  if (keys > 0) {
    const unused = Object.fromEntries(Array.from({ length: keys - 1 }, (_, i) => [`unused${i}`, key<string>()]))
    const ctx = createContext<Record<string, Key<string>>>({ ...unused, tenant: key<string>({ seed: () => 'acme' }) })
    // A fixed id, because the length of a random one would add noise.
    await app.register(ctx.plugin, { requestId: { header: false, responseHeader: false, generate: () => 'req-1' } })
  }
  app.get('/', async () => 'done')
  app.get('/held', async () => { await gate.promise })
  await app.ready()
  return app
}

async function send (app: FastifyInstance, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    await app.inject('/')
    // A request ends in the next turn of the event loop.
    await turn()
  }
}

async function settled (): Promise<number> {
  for (let i = 0; i < 3; i++) {
    await turn()
    globalThis.gc!()
  }
  return process.memoryUsage().heapUsed
}

/** The bytes that a request allocates: the minimum of several batches. */
async function allocated (app: FastifyInstance): Promise<number> {
  const batches: number[] = []
  for (let i = 0; i < 3; i++) {
    await settled()
    const before = process.memoryUsage().heapUsed
    await send(app, REQUESTS)
    batches.push((process.memoryUsage().heapUsed - before) / REQUESTS)
  }
  return Math.min(...batches)
}

/** The bytes that a request holds while its handler waits. */
async function held (app: FastifyInstance): Promise<number> {
  gate.promise = new Promise((resolve) => { gate.open = resolve })
  const before = await settled()
  const answers = Promise.all(Array.from({ length: HELD }, () => app.inject('/held')))
  const during = await settled()
  gate.open()
  await answers
  return (during - before) / HELD
}

/** How many async resources of each type a request creates. */
async function resources (app: FastifyInstance): Promise<Record<string, number>> {
  const counts: Record<string, number> = {}
  const hook = createHook({ init (_id, type) { counts[type] = (counts[type] ?? 0) + 1 } }).enable()
  await send(app, REQUESTS)
  hook.disable()
  return Object.fromEntries(Object.entries(counts).map(([type, count]) => [type, count / REQUESTS]))
}

const measured: Record<string, unknown> = {}
for (const [name, keys] of [['bare', 0], ['one key', 1], ['fifty keys', 50]] as const) {
  const app = await start(keys)
  await send(app, WARM_UP)
  await held(app)
  measured[name] = { allocated: await allocated(app), held: await held(app), resources: await resources(app) }
  await app.close()
}
process.stdout.write(JSON.stringify(measured))
