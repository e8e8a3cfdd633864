// Compares the process before an application is built and after it has closed: everything that all code shares is unchanged.
import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks'
import { EventEmitter, once } from 'node:events'
import http, { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import websocket from '@fastify/websocket'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import t from 'tap'
import { WebSocket } from 'ws'
import { createContext, key } from '../../lib/index.ts'

type Properties = Map<PropertyKey, unknown>

function propertiesOf (object: object): Properties {
  return new Map<PropertyKey, unknown>([...Reflect.ownKeys(object).map((name) => {
    const { value, get, set, ...flags } = Object.getOwnPropertyDescriptor(object, name)!
    return [name, [value ?? get, set, JSON.stringify(flags)]] as [PropertyKey, unknown]
  }), ['[[Prototype]]', [Object.getPrototypeOf(object)]]])
}

function changed (before: Properties, after: Properties): string[] {
  const same = (a: unknown, b: unknown): boolean => Array.isArray(a) && Array.isArray(b) && a.every((part, i) => Object.is(part, b[i]))
  return [...new Set([...before.keys(), ...after.keys()])].filter((name) => !same(before.get(name), after.get(name))).map(String)
}

const SHARED: Record<string, object> = {
  globalThis,
  process,
  Object,
  Promise,
  http,
  AsyncResource,
  'Object.prototype': Object.prototype,
  'Function.prototype': Function.prototype,
  'Promise.prototype': Promise.prototype,
  'EventEmitter.prototype': EventEmitter.prototype,
  'EventTarget.prototype': EventTarget.prototype,
  'AbortSignal.prototype': AbortSignal.prototype,
  'AsyncLocalStorage.prototype': AsyncLocalStorage.prototype,
  'Server.prototype': Server.prototype,
  'IncomingMessage.prototype': IncomingMessage.prototype,
  'ServerResponse.prototype': ServerResponse.prototype,
  'WebSocket.prototype': WebSocket.prototype
}

type Use = 'in the application' | 'in a child' | 'twice, in two contexts' | 'with reenter: false' | 'by an application that does not start' | 'not at all'

/** Builds, uses and closes an application. Returns the properties of its routes that changed since the first hook ran. */
async function use (how: Use): Promise<string[]> {
  const contexts = [0, 1].map(() => createContext({ tenant: key<string>({ seed: () => 'acme', log: true, header: 'x-tenant' }) }, { propagate: { 'http://127.0.0.1': ['tenant'] } }))
  const app: FastifyInstance = Fastify({ logger: { stream: { write () {} } } })
  await app.register(websocket)
  const routes = new Map<object, Properties>()
  app.addHook('onRequest', async (request) => {
    const symbol = Object.getOwnPropertySymbols(request).find(({ description }) => description === 'fastify.context')!
    const route = (request as unknown as Record<symbol, Record<string, unknown>>)[symbol]!
    // Lists are shared between routes, so compare their contents.
    for (const object of [route, ...Object.values(route).filter(Array.isArray) as object[]]) if (!routes.has(object)) routes.set(object, propertiesOf(object))
  })
  const build = async (instance: FastifyInstance): Promise<void> => {
    if (how !== 'not at all') await instance.register(contexts[0]!.plugin, { reenter: how !== 'with reenter: false' })
    if (how === 'twice, in two contexts') await instance.register(contexts[1]!.plugin)
    for (const kind of ['preHandler', 'onSend', 'onResponse'] as const) instance.addHook(kind as 'preHandler', async () => {})
    instance.setErrorHandler(async () => 'failed')
    instance.get('/fetches', async () => await (await fetch(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}/`)).text())
    instance.get('/', async (request) => { if (request.query !== null) await wait(1); return 'ok' })
    instance.get('/fails', async () => { throw new Error('failed') })
    instance.get('/websocket', { websocket: true }, (socket) => { socket.close() })
  }
  if (how === 'in a child') app.register(build)
  else await build(app)
  if (how === 'by an application that does not start') {
    app.register(async () => { throw new Error('not today') })
    await app.ready().then(() => {}, () => {})
    await app.close()
    return []
  }
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  // The 404 handler first: a request of another route also has its hooks wrapped.
  for (const path of ['/none', '/fetches', '/', '/fails']) await (await fetch(`http://127.0.0.1:${port}${path}`)).text()
  await app.inject('/')
  await once(new WebSocket(`ws://127.0.0.1:${port}/websocket`), 'close')
  await app.close()
  await wait(30)
  return [...routes].flatMap(([object, before]) => changed(before, propertiesOf(object)).map((name) => `${Array.isArray(object) ? 'a list of hooks' : 'a route'}: ${name}`))
}

t.test('after any use of the plugin, everything that all code of the process shares is unchanged, and so are the routes', async (t) => {
  let objects: readonly [FastifyRequest, FastifyReply] | undefined
  const other = Fastify()
  other.get('/', async (request, reply) => { objects = [request, reply]; return 'ok' })
  await other.inject('/')
  const [request, reply] = objects!.map((object) => Object.getPrototypeOf(Object.getPrototypeOf(object)) as object)
  const shared = { ...SHARED, 'all requests': request!, 'all replies': reply! }
  const look = (): Array<readonly [string, Properties]> => [
    ...Object.entries(shared).map(([name, object]) => [name, propertiesOf(object)] as const),
    ['listeners of process', new Map(process.eventNames().map((name) => [name, [process.listenerCount(name)]]))]
  ]
  // Node, Fastify and others change this themselves, once.
  t.type(Response, 'function')
  t.same(await use('not at all'), [])
  const before = look()
  for (const how of ['in the application', 'in a child', 'twice, in two contexts', 'with reenter: false', 'by an application that does not start'] as const) {
    t.same(await use(how), [], `routes, ${how}`)
    t.same(look().flatMap(([name, after], i) => changed(before[i]![1], after).map((property) => `${name}: ${property}`)), [], how)
  }
  await Promise.all([use('in a child'), use('in the application')])
  t.same(look().flatMap(([name, after], i) => changed(before[i]![1], after)), [], 'by two applications at once')
})
