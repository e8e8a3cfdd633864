import { request as open, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { requestContext } from '@fastify/request-context'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import pino from 'pino'
import t, { type Test } from 'tap'
import { createContext, key } from '../../../lib/index.ts'
import { registrationsOf } from '../../../lib/scope/registrations.ts'
import { Canaries, makeCanary } from '../../../lib/testing/canary.ts'
import { SentRequest } from '../../../lib/testing/sent-request.ts'
import { Observer } from '../../../lib/testing/observer.ts'
import { gate, Lines, listen } from '../../support/support.ts'

/** A context, and an application that is watched while a test sends requests. */
function start (t: Test, options: FastifyServerOptions = {}) {
  const ctx = createContext({ tenant: key<string>({ log: true }), user: key<unknown>() })
  const lines = new Lines(t)
  const app = Fastify({ logger: { stream: lines, name: 'orders' }, ...options })
  return { ctx, app, lines }
}

async function watched (t: Test, app: FastifyInstance, loggers: readonly object[] = []) {
  const canaries = new Canaries<SentRequest>()
  await listen(t, app)
  const { port } = app.server.address() as AddressInfo
  const watch = new Observer(app, canaries, loggers)
  t.teardown(() => { watch.stop() })
  const requests: SentRequest[] = []
  const make = (): SentRequest => {
    const canary = makeCanary()
    const sent = new SentRequest(requests.length + 1, canary, { url: '/' }, 0, { pieces: [], chunked: false, wait: 0 })
    canaries.give(canary, sent)
    requests.push(sent)
    return sent
  }
  const send = (sent: SentRequest, headers = {}): Promise<void> => new Promise((resolve, reject) => {
    const request = open({ port, host: '127.0.0.1', agent: false, headers: { 'x-tenant-id': sent.canary, ...headers } })
    request.once('socket', (socket) => { socket.once('connect', () => { watch.expect(socket.localPort!, sent) }) })
    request.once('error', reject)
    request.once('response', (response: IncomingMessage) => { response.resume().once('end', resolve) })
    request.end()
  })
  const crossings = () => watch.crossings().map(({ reader, owner, where, at, line, logger }) => ({ reader: reader.number, owner: owner.number, where, at, line, logger }))
  return { watch, make, send, crossings }
}

t.test('another request\'s canary in a log line is a crossing with message, level, logger and line of code; its own canary is not', async (t) => {
  const { ctx, app } = start(t)
  await app.register(ctx.plugin)
  let last = ''
  app.get('/', async function handler (request) {
    const before = last
    last = String(request.headers['x-tenant-id'])
    request.log.warn(`for ${last}`)
    if (before !== '') ctx.log.warn({ before }, 'serving the next')
    return 'ok'
  })
  const { make, send, crossings } = await watched(t, app)
  const [first, second] = [make(), make()]
  await send(first)
  await send(second)
  const [only, ...others] = crossings()
  t.match(only, { reader: 2, owner: 1, where: 'log', at: 'serving the next', logger: "warn, logger 'orders'", line: /handler \(.*observer\.test\.ts:\d+:\d+\)$/ })
  t.same(others, [])
  t.same([first.seen, second.seen], [true, true])
  t.equal(first.route, '/')
})

t.test('a log line with the id of one request and the canary of another is a crossing, wherever the id comes from', async (t) => {
  for (const scoped of [true, false]) {
    const { ctx, app } = start(t)
    if (scoped) await app.register(ctx.plugin, { requestId: { header: false } })
    const held = gate<FastifyInstance['log']>()
    app.get('/', async (request) => {
      held.open(request.log)
      const log = await held.promise
      log.info(`for ${String(request.headers['x-tenant-id'])}`)
      return 'ok'
    })
    const { make, send, crossings } = await watched(t, app)
    const [first, second] = [make(), make()]
    await send(first)
    await send(second)
    t.match(crossings(), [{ reader: 1, owner: 2, where: 'log' }], scoped ? 'of the scope' : 'of the line "incoming request"')
    t.equal(crossings().length, 1)
    t.equal(first.route, scoped ? '/' : undefined)
  }
})

t.test('log lines without an id, with an id of several requests, or of unrelated requests belong to nobody', async (t) => {
  const { ctx, app } = start(t)
  await app.register(ctx.plugin)
  const tenants: string[] = []
  app.addHook('onRequest', (_request, _reply, done) => { app.log.child({}, {}).info('no id yet'); done() })
  app.get('/', async (request) => {
    tenants.push(String(request.headers['x-tenant-id']))
    ctx.set('tenant', tenants.at(-1))
    request.log.info(tenants.join())
    app.log.child({}).info('no id, and no scope')
    setImmediate(() => { app.log.child({}).info('no id'); aside.info(tenants.join()) })
    await turn()
    return 'ok'
  })
  const aside = pino({}, { write () {} })
  const { make, send, crossings } = await watched(t, app, [aside])
  const requests = [make(), make()]
  for (const sent of requests) await send(sent, { 'x-request-id': 'constant' })
  const ofOther = { 'x-tenant-id': requests[0]!.canary, 'x-other': requests[1]!.canary }
  await (await fetch(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}/`, { headers: ofOther })).text()
  t.same(crossings(), [])
})

t.test('another pino logger is watched if it is passed in, and text that is not JSON is ignored', async (t) => {
  const { ctx, app } = start(t, { logger: false })
  await app.register(ctx.plugin)
  const destination = { write (_line: string | Buffer) {} }
  const audit = pino<'audit'>({ mixin: ctx.mixin, customLevels: { audit: 35 } }, destination)
  let last = ''
  app.get('/', async (request) => {
    audit.audit({ last })
    last = String(request.headers['x-tenant-id'])
    destination.write(`plain text of ${last}`)
    destination.write(Buffer.from(last))
    return 'ok'
  })
  const { make, send, crossings } = await watched(t, app, [audit, { info () {} }])
  for (const sent of [make(), make()]) await send(sent)
  t.match(crossings(), [{ reader: 2, owner: 1, where: 'log', at: '', logger: '35' }])
})

t.test('a foreign value in a scope is a crossing when it is written, or when it is found at the end', async (t) => {
  const { ctx, app } = start(t)
  await app.register(ctx.plugin)
  let last = ''
  app.get('/', async function handler (request) {
    ctx.set('tenant', String(request.headers['x-tenant-id']))
    if (last !== '') {
      ctx.set('user', { of: { tenant: last } })
      ctx.run({ tenant: last }, () => {})
      requestContext.set('basket' as never, [last] as never)
      ctx.run({ tenant: last }, () => {}, { inherit: false })
      ctx.set('user', undefined)
      ctx.set('user', { of: { tenant: last } })
    }
    last = String(request.headers['x-tenant-id'])
    return 'ok'
  })
  const { make, send, crossings } = await watched(t, app)
  for (const sent of [make(), make()]) await send(sent)
  const told = { reader: 2, owner: 1, where: 'value', line: /handler \(.*observer\.test\.ts/ }
  t.match(crossings(), [{ ...told, at: 'user' }, { ...told, at: 'tenant' }, { ...told, at: 'user' }, { ...told, at: 'basket', line: undefined }])
  t.equal(crossings().length, 4)
})

t.test('values are kept until release(), unless something waits for the end', async (t) => {
  for (const waits of [undefined, 'onEnd', 'after'] as const) {
    const { ctx, app } = start(t)
    await app.register(ctx.plugin)
    const read = gate<() => unknown>()
    let ended = 0
    app.get('/', async (request) => {
      ctx.set('tenant', String(request.headers['x-tenant-id']))
      if (waits !== undefined) ctx[waits](() => { ended++ })
      read.open(ctx.bind(() => ctx.get('tenant')))
      return 'ok'
    })
    const { watch, make, send } = await watched(t, app)
    const sent = make()
    await send(sent)
    const get = await read.promise
    for (let i = 0; i < 5; i++) await turn()
    t.equal(get(), waits === undefined ? sent.canary : undefined)
    t.equal(ended, waits === undefined ? 0 : 1)
    watch.release()
    await turn()
    t.equal(get(), undefined)
  }
})

t.test('settle() waits for work that requests left behind, up to a limit', async (t) => {
  const { ctx, app } = start(t)
  await app.register(ctx.plugin, { closeTimeout: 0 })
  const [go, never] = [gate(), gate()]
  let done = 0
  app.get('/', async () => {
    ctx.detach(async () => { await go.promise; done++ })
    if (done > 0) ctx.detach(async () => { await never.promise })
    return 'ok'
  })
  const { watch, make, send } = await watched(t, app)
  await send(make())
  const settled = watch.settle(Date.now() + 60_000)
  go.open()
  await settled
  t.equal(done, 1)
  await send(make())
  await watch.settle(Date.now() + 20)
  t.equal(done, 2)
  never.open()
})

t.test('stop() restores the server, the logger and the scopes', async (t) => {
  const { ctx, app, lines } = start(t)
  await app.register(ctx.plugin)
  const [registration] = registrationsOf(app.server)
  const before = app.server.listeners('request')
  const { watch } = await watched(t, app)
  t.type(registration!.onWrite, 'function')
  t.equal(app.server.listenerCount('request'), before.length + 2)
  t.ok(Object.hasOwn(lines, 'write'))
  watch.stop()
  t.equal(registration!.onWrite, undefined)
  t.same(app.server.listeners('request'), before)
  t.notOk(Object.hasOwn(lines, 'write'))
})
