import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { asyncLocalStorage } from '@fastify/request-context'
import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import { createContext, key } from '../../lib/index.ts'
import { listen, turns, type Tap } from '../support/support.ts'

/**
 * What a request may cost, counted in what does not depend on the machine. Who makes it cheaper lowers a number; who
 * raises one says why in the change.
 */
const COSTS = {
  /** Calls of `AsyncLocalStorage.run`, a request. The body of a POST arrives outside of its scope, which is entered again. */
  runs: { 'GET by inject': 1, 'GET over a socket': 1, 'POST by inject': 1, 'POST over a socket': 2 },
  /** Our hooks that Fastify runs for a request: each of them costs more than the storage does. */
  hooks: ['onRequest'],
  /** What a request makes of these more than without a context: the turn in which it ends. */
  resources: { PROMISE: 0, TickObject: 0, Immediate: 1, Timeout: 0 },
  /**
   * Bytes more than without a context, by Node line: allocated in all (by code that is not optimised), and held while it waits.
   * Some 400 of those that are held came with lifetimes that wait for hooks, handlers and streams: the counts of what is under
   * way, the store in which the request goes on, and a private field on each of Node's two objects.
   */
  bytes: {
    20: { allocated: 9000, held: 3300 },
    22: { allocated: 7500, held: 1500 },
    24: { allocated: 4900, held: 1300 },
    26: { allocated: 4900, held: 1300 }
  },
  /** Bytes that 49 declared keys may add to a request that uses none of them. What is allocated varies on Node 20, elsewhere it does not. */
  declared: {
    20: { allocated: 1500, held: 100 },
    22: { allocated: 200, held: 100 },
    24: { allocated: 200, held: 100 },
    26: { allocated: 200, held: 100 }
  }
} as const

const LINE = Number(process.versions.node.split('.')[0]) as keyof typeof COSTS.bytes

const CHILD = fileURLToPath(new URL('costs-child.ts', import.meta.url))

/** Node 20 needs help with TypeScript. */
const LOADER = (process.features as { typescript?: unknown }).typescript ? [] : ['--import', 'tsx']

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

/** How often `AsyncLocalStorage.run` is called while `fn` runs, and what it started is over. */
async function runsIn (t: Tap, fn: () => Promise<void>): Promise<number> {
  const results = t.capture(asyncLocalStorage, 'run', asyncLocalStorage.run)
  await fn()
  await turns()
  results.restore()
  return results().length
}

// Seconds where a core is free; what it starts takes long where none is.
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
      // The first request of a route prepares it.
      await send(method, way)
      runs[`${method} ${way}`] = await runsIn(t, async () => { await send(method, way) })
    }
  }
  t.same(runs, COSTS.runs)
})

t.test('of the hooks that run for each request, the plugin adds those of the table', async (t) => {
  const { app, hooks } = await start()
  await app.ready()
  t.teardown(() => app.close())
  const ofApplication = ['onRoute', 'onReady', 'onRegister', 'onListen', 'preClose', 'onClose']
  t.same(hooks.filter((name) => !ofApplication.includes(name)), COSTS.hooks)
})

interface Measured { readonly allocated: number, readonly held: number, readonly resources: Readonly<Record<string, number>> }

t.test('what a request makes and holds', async (t) => {
  const { NODE_OPTIONS, NODE_V8_COVERAGE, ...inherited } = process.env
  const env = { ...inherited, _TAPJS_PROCESSINFO_COVERAGE_: '0' }
  const flags = ['--expose-gc', '--no-opt', '--no-maglev', '--no-sparkplug', '--min-semi-space-size=64', '--max-semi-space-size=64']
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, ...LOADER, CHILD], { env })
  const { bare, 'one key': one, 'fifty keys': fifty } = JSON.parse(stdout) as Record<string, Measured> as { readonly bare: Measured, readonly 'one key': Measured, readonly 'fifty keys': Measured }

  t.test('it makes no async resource but those of the table', async (t) => {
    const more = Object.fromEntries(Object.keys({ ...COSTS.resources, ...one.resources, ...bare.resources }).map((type) => [type, Math.round((one.resources[type] ?? 0) - (bare.resources[type] ?? 0))]))
    t.same(more, COSTS.resources)
  })

  t.test('it allocates and holds no more than the table says', async (t) => {
    for (const what of ['allocated', 'held'] as const) {
      const more = one[what] - bare[what]
      t.ok(more > 0 && more <= COSTS.bytes[LINE][what], `${what}: ${more.toFixed(0)} of ${COSTS.bytes[LINE][what]}`)
    }
  })

  t.test('keys that are declared and not used cost a request nothing', async (t) => {
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
