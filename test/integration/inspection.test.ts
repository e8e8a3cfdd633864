// Printing: any object that references a scope shows the names of its keys, never the value of a key that is not logged.
import { AsyncResource } from 'node:async_hooks'
import diagnostics from 'node:diagnostics_channel'
import { inspect, type InspectOptions } from 'node:util'
import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import context, { createContext, ctx as readyMade, key } from '../../lib/index.ts'
import { scopeOfStore } from '../../lib/scope/scope.ts'
import { currentStore } from '../../lib/scope/storage.ts'
import { gate, listen, turns, warnings } from '../support/support.ts'

const SECRET = 's3cret'
const ctx = createContext({ tenant: key<string>({ log: true }), token: key<string>(), user: key<{ password: string }>() })

/** How an object is printed, by default and with more depth. */
function shown (object: unknown): string[] {
  const options: InspectOptions[] = [{}, { depth: 3 }, { depth: 8, showHidden: true }]
  return options.map((options) => inspect(object, options))
}

t.test('printing an object that references a scope shows no value', async (t) => {
  const app: FastifyInstance = Fastify({ logger: { stream: { write () {} } } as never })
  await app.register(ctx.plugin)
  app.get('/', async (request) => {
    ctx.set('tenant', 'acme')
    ctx.set('token', SECRET)
    ctx.set('user', { password: SECRET })
    request.log.info('hello')
    ctx.cache.set('token', SECRET)
    const held: Record<string, unknown> = {
      store: currentStore(),
      scope: scopeOfStore(currentStore()),
      life: scopeOfStore(currentStore())?.lifetime,
      promise: new Promise(() => {}),
      resolved: Promise.resolve(),
      immediate: setImmediate(() => {}),
      timeout: setTimeout(() => {}, 1),
      resource: new AsyncResource('test'),
      log: request.log,
      child: request.log.child({}),
      request: request.raw,
      reply: request.raw.socket,
      context: request.ctx,
      cache: ctx.cache,
      signal: ctx.signal,
      bound: ctx.bind(() => {}),
      nested: ctx.run({ token: SECRET }, () => currentStore()),
      app
    }
    return Object.entries(held).filter(([, object]) => shown(object).some((text) => text.includes(SECRET))).map(([name]) => name)
  })
  const { url } = await listen(t, app)
  t.same(await (await fetch(url)).json(), [])
})

t.test('printing a store or a scope shows the names of the keys that are set', async (t) => {
  ctx.run({ requestId: 'r-1', token: SECRET, tenant: undefined }, () => {
    t.equal(inspect(currentStore()), 'Store { requestId, token }')
    t.equal(inspect(scopeOfStore(currentStore())), 'Scope { requestId, token }')
  })
})

t.test('messages of the channels contain only their documented properties', async (t) => {
  const messages: unknown[] = []
  const look = (message: unknown): void => { messages.push(message) }
  for (const name of ['fastify-ctx:open', 'fastify-ctx:end']) {
    diagnostics.subscribe(name, look)
    t.teardown(() => { diagnostics.unsubscribe(name, look) })
  }
  ctx.run({ requestId: 'r-1', token: SECRET }, () => {})
  t.equal(messages.length, 2)
  t.same(messages.map((message) => JSON.stringify(message)), Array(2).fill('{"scope":{},"requestId":"r-1","lost":false}'))
  t.notMatch(inspect(messages, { depth: 9, showHidden: true, customInspect: false }), SECRET)
})

t.test('awaiting, serializing or printing an ended request.ctx reads no key and emits no warning', async (t) => {
  const seen = ['FST_CTX_LATE_READ', 'FST_CTX_EARLY_READ'].map((code) => warnings(t, code))
  const app: FastifyInstance = Fastify()
  const kept = gate<Record<string, unknown>>()
  const over = gate()
  app.addHook('onRequest', async (request) => { await look(request.ctx as never) })
  await app.register(context, { keys: { tenant: { seed: () => 'acme' } } as never, diagnostics: true } as never)
  app.get('/', async (request) => {
    await look(request.ctx as never)
    Object.assign(request.ctx, { basket: ['apple'] })
    readyMade.onEnd(() => { over.open() })
    kept.open(request.ctx as never)
    return 'ok'
  })
  /** Reads that Node, JSON and loggers do on any object. */
  async function look (object: Record<string, unknown>): Promise<void> {
    await object
    JSON.stringify({ object })
    inspect(object, { showProxy: true, showHidden: true })
    String(object)
    for (const name of ['then', 'toJSON', 'href', 'protocol', 'length', 'nodeType', 'asymmetricMatch', '$$typeof', 'message', 'stack']) t.equal(object[name], undefined)
  }
  const { url } = await listen(t, app)
  for (let i = 0; i < 3; i++) await (await fetch(url)).text()
  const ended = await kept.promise.then((object) => [object])
  await over.promise
  await turns()
  await look(ended[0]!)
  await turns()
  t.same(seen.flat(), [])
  t.same([ended[0]!.tenant, ended[0]!.basket], [undefined, undefined])
  await turns()
  t.same(seen[0]!.map(({ message }) => /^'(\w+)'/.exec(message)?.[1]), ['tenant', 'basket'], 'a key that is declared, or was set, still warns')
})
