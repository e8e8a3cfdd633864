import { EventEmitter } from 'node:events'
import { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as wait } from 'node:timers/promises'
import Fastify, { type FastifyBaseLogger, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { pino } from 'pino'
import t from 'tap'
import { createContext, key } from '../../../lib/index.ts'
import { patchFetch, patchRequest, patchSignal } from '../../../lib/patches/index.ts'
import { gate, Lines, listen, warnings } from '../../support/support.ts'

/** The own properties of an object, with their values. */
function ownOf (object: object): Map<PropertyKey, unknown> {
  return new Map(Reflect.ownKeys(object).map((name) => {
    const { value, get } = Object.getOwnPropertyDescriptor(object, name)!
    return [name, value ?? get]
  }))
}

/** The names of the own properties that differ. */
function changed (before: Map<PropertyKey, unknown>, after: Map<PropertyKey, unknown>): string[] {
  return [...new Set([...before.keys(), ...after.keys()])].filter((name) => !Object.is(before.get(name), after.get(name))).map(String)
}

const GLOBALS = [Symbol.for('undici.globalDispatcher.1'), Symbol.for('undici.globalDispatcher.2')]

t.test('closing the application restores the whole process', async (t) => {
  const logger = pino(new Lines(t))
  await fetch('data:,').then((response) => response.text())
  const app: FastifyInstance = Fastify({ loggerInstance: logger as FastifyBaseLogger })
  let reply: FastifyReply | undefined
  let request: FastifyRequest | undefined
  const shared = Fastify()
  shared.get('/', async (r, other) => { [request, reply] = [r, other]; return 'ok' })
  await shared.inject('/')

  const objects: Record<string, object> = {
    'IncomingMessage.prototype': IncomingMessage.prototype,
    'ServerResponse.prototype': ServerResponse.prototype,
    'EventEmitter.prototype': EventEmitter.prototype,
    'the prototype of every request': Object.getPrototypeOf(Object.getPrototypeOf(request)) as object,
    'the prototype of every reply': Object.getPrototypeOf(Object.getPrototypeOf(reply)) as object,
    'AbortSignal.prototype': AbortSignal.prototype,
    'the logger': logger,
    'the prototype of all loggers': Object.getPrototypeOf(logger) as object,
    fastify: app,
    server: app.server
  }
  const look = (): Array<readonly [string, Map<PropertyKey, unknown>]> => [
    ...Object.entries(objects).map(([name, object]) => [name, ownOf(object)] as const),
    ['globalThis', new Map(GLOBALS.map((name) => [name, (globalThis as never)[name]]))],
    ['listeners of process', new Map(process.eventNames().map((name) => [name, process.listenerCount(name)]))]
  ]
  const before = look()

  const ctx = createContext({ tenant: key<string>({ seed: () => 'acme', log: true, header: 'x-tenant' }) }, { propagate: { 'http://127.0.0.1': ['tenant'] } })
  await app.register(ctx.plugin)
  const during = gate<string[]>()
  app.get('/', async () => {
    during.open(before.flatMap(([name, own], i) => changed(own, look()[i]![1]).map((property) => `${name}.${property}`)))
    return ctx.get('tenant')
  })
  const { url } = await listen(t, app)
  const differences = (): string[] => before.flatMap(([name, own], i) => changed(own, look()[i]![1]).map((property) => `${name}: ${property}`))
  t.equal(await (await fetch(url)).text(), 'acme')
  t.equal((await app.inject('/')).body, 'acme')
  const replaced = await during.promise
  for (const name of ['fastify.inject', 'fastify.decorate', 'the logger.Symbol(pino.asJson)', 'globalThis.Symbol(undici.globalDispatcher.1)', 'server.Symbol(IncomingMessage)']) t.ok(replaced.includes(name), name)
  t.same(replaced.filter((name) => /prototype/.test(name)), [], 'objects shared with other applications are never changed')
  await app.close()
  await wait(50)

  // What Fastify and Node themselves change in an application that was started and closed.
  const plain: FastifyInstance = Fastify({ loggerInstance: pino(new Lines(t)) as FastifyBaseLogger })
  const [plainFastify, plainServer] = [ownOf(plain), ownOf(plain.server)]
  plain.get('/', async () => 'ok')
  const { url: plainUrl } = await listen(t, plain)
  await (await fetch(plainUrl)).text()
  await plain.inject('/')
  await plain.close()
  const theirs = [...changed(plainFastify, ownOf(plain)).map((name) => `fastify: ${name}`), ...changed(plainServer, ownOf(plain.server)).map((name) => `server: ${name}`)]
  t.same(differences().filter((name) => !theirs.includes(name)), [
    // Decorators and the id generator: public API, which Fastify never reverts.
    'fastify: Symbol(fastify.genReqId)',
    'fastify: requestContext',
    'fastify: Symbol(fastify-ctx.registered)'
  ])
})

t.test('after the close replies have no method of ours', async (t) => {
  const ctx = createContext({})
  const app = Fastify()
  await app.register(ctx.plugin)
  let prototype: object | undefined
  app.get('/', async (_request, reply) => { prototype = Object.getPrototypeOf(reply) as object; return 'ok' })
  await app.inject('/')
  const kept = prototype as { send?: unknown }
  t.equal(Object.hasOwn(kept, 'send'), true)
  await app.close()
  t.equal(Object.hasOwn(kept, 'send'), false)
  t.equal(typeof kept.send, 'function', 'Fastify\'s own send')
})

t.test('replies that another plugin decorated with its own send', async (t) => {
  const seen = warnings(t, 'FST_CTX_NOT_REPLACED')
  const app = Fastify()
  app.decorateReply('send', function (this: FastifyReply, payload: unknown) { return (Object.getPrototypeOf(Object.getPrototypeOf(this)) as FastifyReply).send.call(this, payload) } as never)
  const ctx = createContext({ tenant: key<string>({ seed: () => 'acme' }) })
  await app.register(ctx.plugin)
  app.get('/', async () => ctx.get('tenant'))
  t.equal((await app.inject('/')).body, 'acme')
  await wait(20)
  t.match(seen.map(({ message }) => message), [/^send of the replies of the application cannot be replaced here/])
  await app.close()
})

t.test('a process whose dispatcher cannot be composed', async (t) => {
  const seen = warnings(t, 'FST_CTX_NOT_REPLACED')
  const holder = globalThis as unknown as Record<symbol, unknown>
  const before = GLOBALS.map((name) => holder[name])
  for (const name of GLOBALS) holder[name] = {}
  for (let i = 0; i < 2; i++) patchFetch((dispatch) => dispatch)()
  for (const [i, name] of GLOBALS.entries()) holder[name] = before[i]
  await wait(20)
  t.match(seen.map(({ message }) => message), [/of globalThis cannot be replaced here, so this does not hold: fetch and undici send no headers/])
})

t.test('a request, reply or signal that lacks a method to replace: one warning each, and nothing is changed', async (t) => {
  const seen = warnings(t, 'FST_CTX_NOT_REPLACED')
  const route = { server: Fastify(), config: {}, handler: () => {}, handlerTimeout: 0, errorHandler: undefined }
  for (let i = 0; i < 2; i++) {
    const [request, reply, signal] = [{ raw: { headers: { upgrade: 'websocket' } }, server: {} }, { raw: {} }, {}]
    const life = { hold () {} }
    patchRequest(request as never, reply as never, route, life as never, false, [])
    patchSignal(signal as never, life as never)
    t.same([request, reply, signal], [{ raw: { headers: { upgrade: 'websocket' } }, server: {} }, { raw: {} }, {}])
  }
  await wait(20)
  t.match(seen.map(({ message }) => message), [/^emit of request.raw, reply.raw cannot be replaced here/, /^dispatchEvent of request.signal cannot be replaced here/])
})
