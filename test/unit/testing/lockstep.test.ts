import { AsyncLocalStorage } from 'node:async_hooks'
import { request as open, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { Barrier, Lockstep } from '../../../lib/testing/lockstep.ts'
import { SentRequest } from '../../../lib/testing/sent-request.ts'
import { listen } from '../../support/support.ts'

const newRequest = (number: number): SentRequest => new SentRequest(number, 'canary', { url: '/' }, 0, { pieces: [], chunked: false, wait: 0 })

interface Answer { readonly status: number, readonly body: string }

function get (app: FastifyInstance, path: string, headers: Record<string, string> = {}): Promise<Answer> {
  const { port } = app.server.address() as AddressInfo
  return new Promise((resolve, reject) => {
    const request = open({ port, host: '127.0.0.1', path, agent: false, headers })
    request.once('error', reject)
    request.once('response', async (response: IncomingMessage) => {
      resolve({ status: response.statusCode!, body: Buffer.concat(await response.toArray()).toString() })
    })
    request.end()
  })
}

/** An application whose requests identify themselves by a header. */
async function start (t: Test, build: (app: FastifyInstance) => void): Promise<{ app: FastifyInstance, requests: SentRequest[], lockstep: Lockstep }> {
  const app = Fastify()
  build(app)
  await listen(t, app)
  const requests = [newRequest(1), newRequest(2)]
  const lockstep = new Lockstep(app.server, requests, ({ headers }) => requests[Number(headers['x-request'])])
  t.teardown(() => { lockstep.stop() })
  return { app, requests, lockstep }
}

const zeros = [0, 0]

t.test('a barrier is full when each request has reached or passed it, and opens in the given order in one turn', async (t) => {
  const [a, b, c] = [newRequest(1), newRequest(2), newRequest(3)]
  const storage = new AsyncLocalStorage<string>()
  const barrier = new Barrier([a, b, c])
  const events: string[] = []
  storage.run('of a', () => { barrier.reach(a, () => { events.push(`a ${storage.getStore()}`) }) })
  storage.run('of b', () => { barrier.reach(b, () => { events.push(`b ${storage.getStore()}`) }) })
  let isFull = false
  barrier.full.then(() => { isFull = true }).catch(t.fail)
  await turn()
  t.notOk(isFull)
  barrier.pass(c)
  await barrier.full
  t.same(events, [])
  const opened = storage.run('of nobody', () => barrier.open([b, c, a], [0, 0, 0]))
  t.same(events, ['b of b', 'a of a'], 'in the same turn, each in its own async context')
  await opened
  barrier.reach(c, () => { events.push('c') })
  t.equal(events.at(-1), 'c', 'an open barrier stops nobody')
})

t.test('a barrier waits as many awaits between requests as its steps say', async (t) => {
  const [a, b] = [newRequest(1), newRequest(2)]
  for (const steps of [0, 1, 3]) {
    const barrier = new Barrier([a, b])
    const events: unknown[] = []
    barrier.reach(a, async () => { for (let i = 0; i < 5; i++) { events.push(i); await undefined } })
    barrier.reach(b, () => { events.push('b') })
    await barrier.open([a, b], [steps, 0])
    t.equal(events.indexOf('b'), steps + 1, String(steps))
  }
})

t.test('requests of the burst stop at arrival, then before their handlers; other requests do not', async (t) => {
  const events: string[] = []
  const { app, requests, lockstep } = await start(t, (app) => {
    app.addHook('onRequest', async ({ url }) => { events.push(`${url} begins`) })
    app.get('/:name', async ({ url }) => { events.push(`${url} handled`); return url })
  })
  const answers = [get(app, '/a', { 'x-request': '0' }), get(app, '/b', { 'x-request': '1' })]
  await lockstep.arrivals.full
  t.same(await get(app, '/other'), { status: 200, body: '/other' })
  t.same(events.splice(0), ['/other begins', '/other handled'])
  await lockstep.arrivals.open(requests, zeros)
  await lockstep.handlers.full
  t.same(events.splice(0), ['/a begins', '/b begins'])
  t.same(await get(app, '/other'), { status: 200, body: '/other' }, 'a request outside the burst passes its handler')
  events.splice(0)
  await lockstep.handlers.open(requests.toReversed(), zeros)
  t.same(events, ['/b handled', '/a handled'])
  t.same(await Promise.all(answers), [{ status: 200, body: '/a' }, { status: 200, body: '/b' }])
})

t.test('a request that a hook answers does not block the others', async (t) => {
  const { app, requests, lockstep } = await start(t, (app) => {
    app.addHook('preHandler', async ({ url }, reply) => { if (url === '/b') await reply.code(401).send('no') })
    app.get('/:name', async ({ url }) => url)
  })
  const answers = [get(app, '/a', { 'x-request': '0' }), get(app, '/b', { 'x-request': '1' })]
  await lockstep.arrivals.full
  await lockstep.arrivals.open(requests, zeros)
  t.same(await answers[1], { status: 401, body: 'no' })
  await lockstep.handlers.full
  await lockstep.handlers.open(requests, zeros)
  t.same(await answers[0], { status: 200, body: '/a' })
})

t.test('every kind of handler answers as it does without lockstep', async (t) => {
  const { app, lockstep } = await start(t, (app) => {
    app.get('/promise', async () => 'promised')
    app.get('/rejects', async () => { throw Object.assign(new Error('rejected'), { statusCode: 418 }) })
    app.get('/throws', () => { throw Object.assign(new Error('thrown'), { statusCode: 418 }) })
    app.get('/value', () => 'value')
    app.get('/callback', (_request, reply) => { setTimeout(() => { reply.send('called back') }, 20) })
    app.get('/sends', async (_request, reply) => { reply.send('sent'); return reply })
    app.get('/this', function () { return String(this === app) })
    app.get('/hijack', (_request, reply) => { reply.hijack(); reply.raw.end('hijacked') })
  })
  const paths = ['/promise', '/rejects', '/throws', '/value', '/callback', '/sends', '/this', '/hijack']
  const plain = await Promise.all(paths.map((path) => get(app, path)))
  await lockstep.arrivals.open([], [])
  await lockstep.handlers.open([], [])
  t.same(await Promise.all(paths.map((path) => get(app, path, { 'x-request': '0' }))), plain)
  t.same(plain.map(({ status }) => status), [200, 418, 418, 200, 200, 200, 200, 200])
})

t.test('stop() restores the server\'s emit, the channel and the handlers', async (t) => {
  const { app, requests, lockstep } = await start(t, (app) => { app.get('/:name', async ({ url }) => url) })
  const answers = [get(app, '/a', { 'x-request': '0' }), get(app, '/b', { 'x-request': '1' })]
  for (const barrier of [lockstep.arrivals, lockstep.handlers]) {
    await barrier.full
    await barrier.open(requests, zeros)
  }
  await Promise.all(answers)
  lockstep.stop()
  t.notOk(Object.hasOwn(app.server, 'emit'))
  t.same(await get(app, '/a', { 'x-request': '0' }), { status: 200, body: '/a' })
})
