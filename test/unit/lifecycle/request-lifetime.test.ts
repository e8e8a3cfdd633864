import { once } from 'node:events'
import http2 from 'node:http2'
import net, { type AddressInfo } from 'node:net'
import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import { createContext, key } from '../../../lib/index.ts'
import { exchange, gate, listen, turns, type Tap } from '../../support/support.ts'

/** An application that tells whether the values of its last request are still there. */
async function setting (t: Tap, routes: (app: FastifyInstance, ctx: ReturnType<typeof makeContext>) => void): Promise<{ readonly port: number, readonly url: string, readonly held: () => boolean }> {
  const ctx = makeContext()
  const app: FastifyInstance = Fastify()
  let held = (): boolean => { throw new Error('no request yet') }
  await app.register(ctx.plugin)
  app.addHook('onRequest', async () => { held = ctx.bind(() => ctx.has('tenant') || ctx.has('requestId')) })
  routes(app, ctx)
  return { ...await listen(t, app), held: () => held() }
}

const makeContext = () => createContext({ tenant: key<string>({ seed: () => 'acme' }) })

/** Asks for a path and leaves when the promise says so. */
async function leave (port: number, request: string, when: Promise<unknown>): Promise<void> {
  const socket = net.connect(port, '127.0.0.1')
  socket.on('error', () => {})
  socket.resume()
  socket.write(request)
  await when
  socket.destroy()
  await once(socket, 'close')
}

t.test('a complete answer: every onResponse hook has the values, then they are gone, while the socket lives', async (t) => {
  const seen: unknown[] = []
  const done = gate()
  const { port, held } = await setting(t, (app, ctx) => {
    const look = (name: string): void => { seen.push([name, ctx.get('tenant')]) }
    app.addHook('onResponse', (_request, _reply, done) => {
      look('callback')
      setImmediate(() => { look('callback, later'); done() })
    })
    app.addHook('onResponse', async () => {
      look('async')
      await turns(5)
      look('async, later')
    })
    app.get('/', { onResponse: (_request, _reply, next) => { look('of the route'); next(); done.open() } }, async () => 'ok')
  })
  const socket = net.connect(port, '127.0.0.1')
  t.teardown(() => { socket.destroy() })
  socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n')
  await done.promise
  await turns()
  t.same(seen, ['callback', 'callback, later', 'async', 'async, later', 'of the route'].map((name) => [name, 'acme']))
  t.equal(held(), false)
  t.equal(socket.destroyed, false)
})

t.test('a handler that goes on after it sent the answer has the values until the turn is over', async (t) => {
  for (const method of ['GET', 'POST']) {
    const seen = gate<unknown>()
    const { url, held } = await setting(t, (app, ctx) => {
      app.route({
        method: ['GET', 'POST'],
        url: '/',
        handler: async (_request, reply) => {
          // Node tells all of a short answer's end before what is awaited here goes on.
          reply.send('ok')
          for (let i = 0; i < 9; i++) await i
          seen.open(ctx.get('tenant'))
          return reply
        }
      })
    })
    await fetch(url, { method, headers: { 'content-type': 'text/plain' }, body: method === 'GET' ? null : 'hi' })
    t.equal(await seen.promise, 'acme', method)
    await turns()
    t.equal(held(), false)
  }
})

t.test('who listens for the end has the values until the turn is over', async (t) => {
  for (const [event, of] of [['finish', 'reply'], ['close', 'reply'], ['end', 'request'], ['close', 'request']] as const) {
    const seen = gate<unknown>()
    const { url, held } = await setting(t, (app, ctx) => {
      app.get('/', async (request, reply) => {
        (of === 'reply' ? reply : request).raw.once(event, async () => {
          for (let i = 0; i < 9; i++) await i
          seen.open(ctx.get('tenant'))
        })
        return 'ok'
      })
    })
    await fetch(url)
    t.equal(await seen.promise, 'acme', `${event} of the ${of}`)
    await turns()
    t.equal(held(), false)
  }
})

t.test('a hook before ours sees the values in onResponse, too', async (t) => {
  const seen: unknown[] = []
  const done = gate()
  const ctx = makeContext()
  const app = Fastify()
  app.addHook('onResponse', async () => { seen.push(ctx.get('tenant')) })
  await app.register(ctx.plugin)
  app.addHook('onResponse', async () => { done.open() })
  app.get('/', async () => 'ok')
  const { url } = await listen(t, app)
  await fetch(url)
  await done.promise
  t.same(seen, ['acme'])
})

t.test('an onResponse hook that fails, or does not say when it is done, does not keep the values', async (t) => {
  for (const [what, hook] of Object.entries({
    throws: () => { throw new Error('broken hook') },
    rejects: async () => { throw new Error('broken hook') },
    'calls back with an error': (_request: unknown, _reply: unknown, done: (error: Error) => void) => { done(new Error('broken hook')) },
    'returns nothing and takes no callback': () => {}
  })) {
    const answered = gate()
    const { url, held } = await setting(t, (app) => {
      app.addHook('onResponse', (_request, _reply, done) => { answered.open(); done() })
      app.addHook('onResponse', hook as never)
      app.get('/', async () => 'ok')
    })
    t.equal(await (await fetch(url)).text(), 'ok')
    await answered.promise
    await turns()
    t.equal(held(), false, what)
  }
})

t.test('a client that leaves while the handler waits: the values are there for onRequestAbort, then gone', async (t) => {
  const started = gate()
  const aborted = gate<unknown>()
  const work = gate()
  const late = gate<unknown>()
  const { port, held } = await setting(t, (app, ctx) => {
    app.addHook('onRequestAbort', async (_request) => {
      await turns(2)
      aborted.open(ctx.get('tenant'))
    })
    app.get('/', async () => {
      started.open()
      await work.promise
      late.open(ctx.has('tenant'))
      return 'nobody reads'
    })
  })
  await leave(port, 'GET / HTTP/1.1\r\nhost: x\r\n\r\n', started.promise)
  t.equal(await aborted.promise, 'acme')
  await turns()
  t.equal(held(), false)
  work.open()
  t.equal(await late.promise, false)
})

t.test('a client that leaves after its body was read, which no hook is told', async (t) => {
  const started = gate()
  const gone = gate()
  const { port, held } = await setting(t, (app) => {
    app.post('/', async (request, reply) => {
      reply.raw.on('close', gone.open)
      started.open()
      await gone.promise
    })
  })
  await leave(port, 'POST / HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nhi', started.promise)
  await gone.promise
  await turns()
  t.equal(held(), false)
})

t.test('a client that leaves in the middle of its body', async (t) => {
  const aborted = gate()
  const started = gate()
  const { port, held } = await setting(t, (app) => {
    app.addHook('preParsing', async (_request, _reply, payload) => { started.open(); return payload })
    app.addHook('onRequestAbort', async (_request) => { aborted.open() })
    app.post('/', async () => 'never')
  })
  await leave(port, 'POST / HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: 20\r\n\r\nhi', started.promise)
  await aborted.promise
  await turns()
  t.equal(held(), false)
})

t.test('a hijacked reply lasts until it is ended', async (t) => {
  const write = gate()
  const seen: unknown[] = []
  const hijacked = gate()
  const { port, held } = await setting(t, (app, ctx) => {
    app.get('/', (_request, reply) => {
      reply.hijack()
      hijacked.open()
      write.promise.then(() => {
        seen.push(ctx.get('tenant'))
        reply.raw.end('raw')
      }, t.error)
    })
  })
  const answer = exchange(port, 'GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')
  await hijacked.promise
  await turns()
  t.equal(held(), true)
  write.open()
  t.match(await answer, /raw/)
  await turns()
  t.same(seen, ['acme'])
  t.equal(held(), false)
})

t.test('HTTP/2: a complete answer, and a stream that the client resets', async (t) => {
  const ctx = makeContext()
  const app = Fastify({ http2: true })
  t.teardown(() => app.close())
  await app.register(ctx.plugin)
  let held!: () => boolean
  const started = gate()
  const aborted = gate<unknown>()
  const work = gate()
  app.addHook('onRequest', async () => { held = ctx.bind(() => ctx.has('tenant')) })
  app.addHook('onRequestAbort', async (_request) => { aborted.open(ctx.get('tenant')) })
  app.get('/', async () => ctx.get('tenant'))
  app.get('/slow', async () => { started.open(); await work.promise })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const session = http2.connect(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}`)
  t.teardown(() => { session.destroy() })

  const stream = session.request({ ':path': '/' })
  t.equal((await stream.toArray()).join(''), 'acme')
  await turns(5)
  t.equal(held(), false)

  const slow = session.request({ ':path': '/slow' })
  slow.on('error', () => {})
  await started.promise
  slow.close(http2.constants.NGHTTP2_CANCEL)
  t.equal(await aborted.promise, 'acme')
  await turns()
  t.equal(held(), false)
  work.open()
})

t.test('two contexts end together, and what ctx.run opened below ends with them', async (t) => {
  const [a, b] = [makeContext(), makeContext()]
  const app = Fastify()
  await app.register(a.plugin)
  await app.register(b.plugin)
  let held!: () => boolean[]
  const done = gate()
  app.addHook('onResponse', (_request, _reply, next) => { next(); done.open() })
  app.get('/', async () => {
    held = a.run({ tenant: 'inner' }, () => a.bind(() => [a.has('tenant'), b.has('tenant')]))
    return 'ok'
  })
  const { url } = await listen(t, app)
  await fetch(url)
  await done.promise
  await turns()
  t.same(held(), [false, false])
})
