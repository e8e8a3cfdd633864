import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { asyncLocalStorage } from '@fastify/request-context'
import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import { createContext, key } from '../../lib/index.ts'
import { listen, turns, type Tap } from '../support/support.ts'
import { LOADER, OUTSIDE } from '../support/processes.ts'

/**
 * The maximum cost of a request, in counts that do not depend on the machine. Lower a number when a change makes it cheaper.
 * If a change raises one, explain it in that change.
 */
const COSTS = {
  /** Calls of `AsyncLocalStorage.run` per request. The body of a POST request arrives outside its scope, which is entered again. */
  runs: { 'GET by inject': 1, 'GET over a socket': 1, 'POST by inject': 1, 'POST over a socket': 2 },
  /** Our hooks that Fastify runs for a request. Each one costs more than the storage does. */
  hooks: ['onRequest'],
  /** Additional async resources compared with a request without a context: the turn in which it ends. */
  resources: { PROMISE: 0, TickObject: 0, Immediate: 1, Timeout: 0 },
  /**
   * Additional bytes per request by Node version: allocated in total (by unoptimized code), and held while it waits.
   * About 400 of the held bytes serve lifetimes that wait for hooks, handlers and streams: the counters, the store in which the
   * request continues, and a private field on each of Node's two objects.
   */
  bytes: {
    20: { allocated: 9000, held: 3300 },
    22: { allocated: 7500, held: 1500 },
    24: { allocated: 4900, held: 1300 },
    26: { allocated: 4900, held: 1300 }
  },
  /** Bytes that 49 declared keys may add to a request that uses none of them. Only on Node 20 the allocation varies. */
  declared: {
    20: { allocated: 1500, held: 100 },
    22: { allocated: 200, held: 100 },
    24: { allocated: 200, held: 100 },
    26: { allocated: 200, held: 100 }
  }
} as const

const LINE = Number(process.versions.node.split('.')[0]) as keyof typeof COSTS.bytes

const CHILD = fileURLToPath(new URL('costs-child.ts', import.meta.url))

const ctx = createContext({ tenant: key<string>({ seed: (request) => request.headers['x-tenant-id'], log: true }), user: key<string>({ seed: () => 'ada' }) })

async function start (): Promise<{ app: FastifyInstance, hooks: string[] }> {
  const app = Fastify()
  const hooks: string[] = []
  const { addHook } = app
  Object.assign(app, { addHook (this: FastifyInstance, name: 'onRequest', hook: () => void) { hooks.push(name); return addHook.call(this, name, hook) } })
  await app.register(ctx.plugin)
  const handler = async (): Promise<object> => ({ tenant: ctx.get('tenant'), user: ctx.get('user') })
  app.get('/', handler)
  app.post('/', handler)
  return { app, hooks }
}

/** Counts calls of `AsyncLocalStorage.run` while `fn` runs, until the work that it started is over. */
async function runsIn (t: Tap, fn: () => Promise<void>): Promise<number> {
  const results = t.capture(asyncLocalStorage, 'run', asyncLocalStorage.run)
  await fn()
  await turns()
  results.restore()
  return results().length
}

// Seconds on an idle core, much longer on a busy one.
t.setTimeout(600_000)

t.test('a request enters the storage as often as the table says', async (t) => {
  const { app } = await start()
  const { url } = await listen(t, app)
  const send = async (method: 'GET' | 'POST', way: string): Promise<void> => {
    const headers = { 'x-tenant-id': 'acme', ...(method === 'POST' && { 'content-type': 'application/json' }) }
    const body = method === 'POST' ? '{"a":1}' : undefined
    const answer: unknown = way === 'by inject'
      ? (await app.inject({ method, url: '/', headers, ...(body !== undefined && { payload: body }) })).json()
      : await (await fetch(url, { method, headers, body: body ?? null })).json()
    t.same(answer, { tenant: 'acme', user: 'ada' })
  }
  const runs: Record<string, number> = {}
  for (const method of ['GET', 'POST'] as const) {
    for (const way of ['by inject', 'over a socket']) {
      // The first request prepares the route.
      await send(method, way)
      runs[`${method} ${way}`] = await runsIn(t, async () => { await send(method, way) })
    }
  }
  t.same(runs, COSTS.runs)
})

t.test('the plugin adds only the hooks of the table to each request', async (t) => {
  const { app, hooks } = await start()
  await app.ready()
  t.teardown(() => app.close())
  const ofApplication = ['onRoute', 'onReady', 'onRegister', 'onListen', 'preClose', 'onClose']
  t.same(hooks.filter((name) => !ofApplication.includes(name)), COSTS.hooks)
})

interface Measured { readonly allocated: number, readonly held: number, readonly resources: Readonly<Record<string, number>> }

t.test('memory of a request', async (t) => {
  const flags = ['--expose-gc', '--no-opt', '--no-maglev', '--no-sparkplug', '--min-semi-space-size=64', '--max-semi-space-size=64']
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, ...LOADER, CHILD], { env: OUTSIDE })
  const { bare, 'one key': one, 'fifty keys': fifty } = JSON.parse(stdout) as Record<string, Measured> as { readonly bare: Measured, readonly 'one key': Measured, readonly 'fifty keys': Measured }

  t.test('creates only the async resources of the table', async (t) => {
    const more = Object.fromEntries(Object.keys({ ...COSTS.resources, ...one.resources, ...bare.resources }).map((type) => [type, Math.round((one.resources[type] ?? 0) - (bare.resources[type] ?? 0))]))
    t.same(more, COSTS.resources)
  })

  t.test('allocates and holds no more than the table says', async (t) => {
    for (const what of ['allocated', 'held'] as const) {
      const more = one[what] - bare[what]
      t.ok(more > 0 && more <= COSTS.bytes[LINE][what], `${what}: ${more.toFixed(0)} of ${COSTS.bytes[LINE][what]}`)
    }
  })

  t.test('declared but unused keys cost a request nothing', async (t) => {
    for (const what of ['allocated', 'held'] as const) {
      const more = fifty[what] - one[what]
      t.ok(more <= COSTS.declared[LINE][what], `${what}: ${more.toFixed(0)} of ${COSTS.declared[LINE][what]}`)
    }
    t.same(rounded(fifty.resources), rounded(one.resources))
  })
})

function rounded (counts: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(counts).map(([type, count]): [string, number] => [type, Math.round(count)]).filter(([, count]) => count > 0))
}
