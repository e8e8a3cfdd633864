import { AsyncResource } from 'node:async_hooks'
import { EventEmitter, once } from 'node:events'
import http from 'node:http'
import http2 from 'node:http2'
import net from 'node:net'
import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import { createContext, key } from '../../../lib/index.ts'
import { ContextDefinition } from '../../../lib/lifecycle/context-definition.ts'
import { readKeys } from '../../../lib/config/key-policies.ts'
import { emitWithin, rawEvents, timeoutSignal } from '../../../lib/patches/node-events.ts'
import { RequestLifetime } from '../../../lib/lifecycle/request-lifetime.ts'
import { Scope } from '../../../lib/scope/scope.ts'
import { currentScope, enter } from '../../../lib/scope/storage.ts'
import { exchange, gate, listen, turns, type Tap } from '../../support/support.ts'

const ctx = createContext({ tenant: key<string>({ seed: (request) => request.headers['x-tenant-id'] }) })

async function start (t: Tap, routes: (app: FastifyInstance) => void): Promise<number> {
  const app: FastifyInstance = Fastify()
  await app.register(ctx.plugin)
  routes(app)
  return (await listen(t, app)).port
}

const lifeIn = (scope: Scope): RequestLifetime => Object.assign(new RequestLifetime({ sent: false } as never), { scope, current: scope.store, innermost: scope })

const makeScope = (): Scope => new Scope({}, new ContextDefinition(readKeys({})).registration)

t.test('emitWithin: listeners run in the scope with their arguments and this, wherever the event is emitted', async (t) => {
  const scope = makeScope()
  const emitter = new EventEmitter()
  const seen: unknown[] = []
  emitWithin(emitter, lifeIn(scope), scope.store)
  emitter.on('event', function (this: unknown, ...args: unknown[]) { seen.push([this === emitter, currentScope() === scope, ...args]) })
  t.equal(emitter.emit('event', 1, 2, 3), true)
  t.equal(enter(scope.store, () => emitter.emit('event')), true)
  t.equal(enter(makeScope().store, () => emitter.emit('event', undefined)), true)
  t.same(seen, [[true, true, 1, 2, 3], [true, true], [true, true, undefined]])
  t.equal(emitter.emit('nobody hears'), false)
  t.throws(() => emitter.emit('error', new Error('unheard')), { message: 'unheard' })
  t.equal(currentScope(), undefined)
})

t.test('timeoutSignal: listeners of a signal run in the scope', async (t) => {
  const scope = makeScope()
  const controller = new AbortController()
  const seen: unknown[] = []
  timeoutSignal.install(controller.signal, lifeIn(scope))
  controller.signal.addEventListener('abort', () => { seen.push(currentScope() === scope) })
  controller.abort()
  t.same(seen, [true])
})

t.test('timeoutSignal: a dispatchEvent that another tool installed on the signal is called, and restored afterwards', async (t) => {
  const scope = makeScope()
  const controller = new AbortController()
  const seen: unknown[] = []
  function dispatchEvent (this: AbortSignal, event: Event): boolean {
    seen.push(event.type)
    return EventTarget.prototype.dispatchEvent.call(this, event)
  }
  Object.defineProperty(controller.signal, 'dispatchEvent', { value: dispatchEvent, configurable: true })
  const before = Object.getOwnPropertyDescriptor(controller.signal, 'dispatchEvent')
  const undo = timeoutSignal.install(controller.signal, lifeIn(scope)) as () => void
  controller.signal.addEventListener('abort', () => { seen.push(currentScope() === scope) })
  controller.signal.dispatchEvent(new Event('abort'))
  t.same(seen, ['abort', true])
  undo()
  t.same(Object.getOwnPropertyDescriptor(controller.signal, 'dispatchEvent'), before)

  const again = timeoutSignal.install(controller.signal, lifeIn(scope)) as () => void
  Object.defineProperty(controller.signal, 'dispatchEvent', { value: dispatchEvent, configurable: true })
  again()
  t.equal(controller.signal.dispatchEvent, dispatchEvent, 'one that another tool set since then stays')
})

t.test('listeners of a request whose body arrives in parts run in its scope', async (t) => {
  const seen: unknown[] = []
  const first = gate()
  const port = await start(t, (app) => {
    app.addContentTypeParser('text/custom', (request, payload, done) => {
      let text = ''
      payload.on('data', (part: Buffer) => {
        seen.push(['data', ctx.get('tenant')])
        text += part.toString()
        first.open()
      })
      payload.on('end', () => {
        seen.push(['end', ctx.get('tenant')])
        done(null, text)
      })
      request.raw.once('close', () => { seen.push(['close', ctx.get('tenant')]) })
    })
    app.post('/', async (request) => {
      seen.push(['handler', ctx.get('tenant')])
      return request.body
    })
  })
  const socket = net.connect(port, '127.0.0.1')
  socket.write('POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-tenant-id: acme\r\ncontent-type: text/custom\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n')
  await first.promise
  socket.end('2\r\ncd\r\n0\r\n\r\n')
  let text = ''
  socket.on('data', (part: Buffer) => { text += part.toString() })
  await once(socket, 'close')
  t.match(text, /abcd/)
  t.same(seen.filter((each) => (each as string[])[1] !== 'acme'), [])
  t.same(new Set(seen.map((each) => (each as string[])[0])), new Set(['data', 'end', 'close', 'handler']))
})

t.test('finish and close of a reply are emitted in the scope, after a response and after a disconnect', async (t) => {
  const seen: unknown[] = []
  const closed = gate()
  const started = gate()
  const port = await start(t, (app) => {
    const listenTo = (raw: EventEmitter, events: string[]): void => { for (const event of events) raw.on(event, () => { seen.push([event, ctx.get('tenant')]) }) }
    app.get('/', async (_request, reply) => {
      listenTo(reply.raw, ['finish', 'close'])
      return 'ok'
    })
    app.get('/slow', (request, reply) => {
      listenTo(reply.raw, ['close'])
      listenTo(request.raw, ['aborted', 'close', 'error'])
      reply.raw.on('close', () => { setImmediate(closed.open) })
      started.open()
    })
  })
  await exchange(port, 'GET / HTTP/1.1\r\nhost: x\r\nx-tenant-id: acme\r\nconnection: close\r\n\r\n')
  await turns()
  t.same(seen, [['finish', 'acme'], ['close', 'acme']])

  seen.length = 0
  const socket = net.connect(port, '127.0.0.1')
  socket.write('GET /slow HTTP/1.1\r\nhost: x\r\nx-tenant-id: acme\r\n\r\n')
  await started.promise
  socket.destroy()
  await closed.promise
  await turns()
  t.same(seen.filter((each) => (each as string[])[1] !== 'acme'), [])
  t.ok(seen.some((each) => (each as string[])[0] === 'aborted'))
})

t.test('an error event without a listener is thrown as usual', async (t) => {
  const port = await start(t, (app) => {
    app.get('/', async (request) => {
      try {
        request.raw.emit('error', new Error('unheard'))
      } catch (error) {
        return { thrown: (error as Error).message, other: request.raw.emit('nobody hears') }
      }
    })
  })
  t.match(await exchange(port, 'GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n'), /\{"thrown":"unheard","other":false\}$/)
})

t.test('an emit that another tool installed before is called, and the values are still dropped at the end', async (t) => {
  const emitted: string[] = []
  const app = Fastify()
  app.addHook('onRequest', async (request, reply) => {
    for (const [name, raw] of Object.entries<EventEmitter>({ request: request.raw, reply: reply.raw })) {
      const { emit } = raw
      raw.emit = function (event, ...args) {
        emitted.push(`${name} ${String(event)}`)
        return emit.call(this, event, ...args)
      }
    }
  })
  await app.register(ctx.plugin)
  let held!: () => boolean
  app.get('/', async (_request, reply) => {
    held = ctx.bind(() => ctx.has('tenant'))
    return ctx.get('tenant')
  })
  const { port } = await listen(t, app)
  // The objects of the second request are of our classes, too.
  for (let i = 0; i < 2; i++) {
    emitted.length = 0
    t.match(await exchange(port, 'GET / HTTP/1.1\r\nhost: x\r\nx-tenant-id: acme\r\nconnection: close\r\n\r\n'), /acme$/)
    await turns()
    t.ok(emitted.includes('reply close'))
    t.ok(emitted.includes('request end'))
    t.equal(held(), false)
  }
})

t.test('two requests that emit each other\'s events keep their own scopes', async (t) => {
  const both = gate()
  const raws: Record<string, EventEmitter> = {}
  const seen: Record<string, unknown> = {}
  const port = await start(t, (app) => {
    app.get('/', async (request) => {
      const tenant = ctx.require('tenant')
      raws[tenant] = request.raw
      request.raw.on('poke', () => { seen[tenant] = ctx.get('tenant') })
      if (Object.keys(raws).length === 2) both.open()
      await both.promise
      for (const raw of Object.values(raws)) new AsyncResource('pool').runInAsyncScope(() => raw.emit('poke'))
      return ctx.get('tenant')
    })
  })
  const answers = await Promise.all(['A', 'B'].map((tenant) => exchange(port, `GET / HTTP/1.1\r\nhost: x\r\nx-tenant-id: ${tenant}\r\nconnection: close\r\n\r\n`)))
  t.same(answers.map((answer) => answer.at(-1)), ['A', 'B'])
  t.same(seen, { A: 'A', B: 'B' })
})

t.test('objects without a request emit as before, and a server whose classes are not found keeps them', async (t) => {
  for (const httpVersionMajor of [1, 2]) {
    const [request, reply] = [new class extends EventEmitter {}(), new class extends EventEmitter {}()]
    const server = {}
    Object.assign(request, { httpVersionMajor, socket: { server } })
    rawEvents.install({ raw: request } as never, { raw: reply } as never)?.()
    const seen: unknown[] = []
    for (const raw of [request, reply]) raw.on('event', (value) => { seen.push(value) })
    request.emit('event', 'of the request')
    reply.emit('event', 'of the reply')
    t.same(seen, ['of the request', 'of the reply'])
    t.same(Object.getOwnPropertySymbols(server), [])
  }
})

t.test('a server keeps the classes that an application gave to it: their constructors and methods are called', async (t) => {
  class ByClass extends http.IncomingMessage { made = 'by a class' }
  function ByFunction (this: http.IncomingMessage, socket: net.Socket): void {
    Reflect.apply(http.IncomingMessage, this, [socket])
    Object.assign(this, { made: 'by a function' })
  }
  Object.setPrototypeOf(ByFunction.prototype, http.IncomingMessage.prototype)
  for (const [IncomingMessage, made] of [[ByClass, 'by a class'], [ByFunction as never, 'by a function']] as const) {
    const app = Fastify({ serverFactory: (handler) => http.createServer({ IncomingMessage: IncomingMessage as typeof ByClass }, handler) })
    await app.register(ctx.plugin)
    app.get('/', async ({ raw }) => [raw instanceof IncomingMessage, raw.constructor === IncomingMessage, (raw as ByClass).made, ctx.get('tenant')])
    const { port } = await listen(t, app)
    for (let i = 0; i < 3; i++) {
      const answer = await fetch(`http://127.0.0.1:${port}/`, { headers: { 'x-tenant-id': 'A' } })
      t.same(await answer.json(), [true, true, made, 'A'])
    }
  }
})

t.test('HTTP/2: an event that a handler or other code emits on reply.raw is in the scope of its request', async (t) => {
  const app = Fastify({ http2: true })
  await app.register(ctx.plugin)
  const seen: unknown[] = []
  app.get('/', async (_request, reply) => {
    reply.raw.on('custom', (from) => { seen.push([from, ctx.get('tenant')]) })
    reply.raw.emit('custom', 'the handler')
    ctx.run({ tenant: 'another' }, () => { reply.raw.emit('custom', 'a run of the request') })
    ctx.exit(() => { reply.raw.emit('custom', 'outside') })
    return 'ok'
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  t.teardown(() => app.close())
  const client = http2.connect(`http://127.0.0.1:${(app.server.address() as net.AddressInfo).port}`)
  const stream = client.request({ ':path': '/', 'x-tenant-id': 'acme' }).resume()
  await once(stream.end(), 'close')
  client.close()
  t.same(seen, [['the handler', 'acme'], ['a run of the request', 'another'], ['outside', 'acme']])
})
