import diagnostics from 'node:diagnostics_channel'
import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import http from 'node:http'
import http2 from 'node:http2'
import net, { type AddressInfo } from 'node:net'
import { Duplex, finished, PassThrough, Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { createGzip } from 'node:zlib'
import Fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import t from 'tap'
import { createContext, key } from '../../../lib/index.ts'
import { block, exchange, fastifyHas, gate, listen, turns, type Tap } from '../../support/support.ts'

/** An application, and a function that reports whether the values of its last request still exist. */
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

/** Sends a request and disconnects when the promise resolves. */
async function leave (port: number, request: string, when: Promise<unknown>): Promise<void> {
  const socket = net.connect(port, '127.0.0.1')
  socket.on('error', () => {})
  socket.resume()
  socket.write(request)
  await when
  socket.destroy()
  await once(socket, 'close')
}

t.test('after a complete response every onResponse hook has the values, then they are dropped while the socket stays open', async (t) => {
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

t.test('a handler that continues after its response has the values until the end of the turn', async (t) => {
  for (const method of ['GET', 'POST']) {
    const seen = gate<unknown>()
    const { url, held } = await setting(t, (app, ctx) => {
      app.route({
        method: ['GET', 'POST'],
        url: '/',
        handler: async (_request, reply) => {
          // For a short response Node emits every event of the end before this await resumes.
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

t.test('a listener for the end of the response or request has the values until the end of the turn', async (t) => {
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

t.test('another application that closes in the turn in which a request ends takes no value from it', async (t) => {
  const other = Fastify()
  const otherCtx = makeContext()
  await other.register(otherCtx.plugin)
  other.get('/', async () => 'ok')
  await other.inject('/')
  const seen: unknown[] = []
  const over = gate()
  const { port, held } = await setting(t, (app, ctx) => {
    app.get('/', async (_request, reply) => {
      reply.raw.once('close', async () => {
        await other.close()
        seen.push(ctx.get('tenant'))
        over.open()
      })
      return 'ok'
    })
  })
  await exchange(port, 'GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')
  await over.promise
  t.same(seen, ['acme'])
  await turns()
  t.equal(held(), false)
})

t.test('an onResponse hook registered before the plugin also has the values', async (t) => {
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

t.test('an onResponse hook that fails releases the values; one that never calls done keeps them, because it may still be running', async (t) => {
  for (const [what, hook] of Object.entries({
    throws: () => { throw new Error('broken hook') },
    rejects: async () => { throw new Error('broken hook') },
    'calls back with an error': (_request: unknown, _reply: unknown, done: (error: Error) => void) => { done(new Error('broken hook')) },
    'calls back twice': (_request: unknown, _reply: unknown, done: () => void) => { done(); done() },
    'never calls back': () => {}
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
    t.equal(held(), what === 'never calls back', what)
  }
})

/** What a request does after its client has left, and what is true when it ends. */
interface Work { readonly app: FastifyInstance, readonly ctx: ReturnType<typeof makeContext>, readonly started: () => void, readonly gone: Promise<void>, readonly note: (what: string) => void }

const GET = 'GET / HTTP/1.1\r\nhost: x\r\n\r\n'
const POST = 'POST / HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nhi'
const HALF = 'POST / HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: 20\r\n\r\nhi'

/** Work in progress when the client leaves, and its last step. */
const WORK: Record<string, { readonly request?: string, readonly last: string, readonly begin: (work: Work) => void }> = {
  'an async handler': {
    last: 'handler',
    begin: ({ app, started, gone, note }) => app.get('/', async () => { started(); await gone; note('handler') })
  },
  'an async handler whose body was read': {
    request: POST,
    last: 'handler',
    begin: ({ app, started, gone, note }) => app.post('/', async () => { started(); await gone; note('handler') })
  },
  'a callback hook': {
    last: 'handler',
    begin: ({ app, started, gone, note }) => {
      app.addHook('preHandler', (_request, _reply, done) => { started(); gone.then(() => { note('preHandler'); done() }, done) })
      app.get('/', async () => { await turns(); note('handler') })
    }
  },
  'an async hook': {
    last: 'handler',
    begin: ({ app, started, gone, note }) => {
      app.addHook('preValidation', async () => { started(); await gone; note('preValidation') })
      app.get('/', async () => { await turns(); note('handler') })
    }
  },
  'preSerialization and onSend hooks': {
    last: 'onSend',
    begin: ({ app, started, gone, note }) => {
      app.addHook('preSerialization', async (_request, _reply, payload) => { started(); await gone; note('preSerialization'); return payload })
      app.addHook('onSend', (_request, _reply, payload, done) => { setTimeout(() => { note('onSend'); done(null, payload) }, 10) })
      app.get('/', async () => ({ ok: true }))
    }
  },
  'an error handler': {
    last: 'error handler, later',
    begin: ({ app, started, gone, note }) => {
      app.setErrorHandler(async (_error, _request, reply) => { note('error handler'); await turns(); note('error handler, later'); return reply.send('failed') })
      app.get('/', async () => { started(); await gone; throw new Error('failed') })
    }
  },
  'an onRequestAbort hook': {
    last: 'onRequestAbort',
    begin: ({ app, started, gone, note }) => {
      app.addHook('onRequestAbort', (_request, done) => { gone.then(async () => { await turns(); note('onRequestAbort'); done() }, done) })
      app.get('/', () => { started() })
    }
  },
  'a handler that has sent the head of its answer': {
    last: 'handler',
    begin: ({ app, started, gone, note }) => {
      app.get('/', async (_request, reply) => {
        reply.hijack()
        reply.raw.write('x')
        started()
        await gone
        note('handler')
      })
    }
  }
}

for (const [what, { request = GET, last, begin }] of Object.entries(WORK)) {
  t.test(`if the client leaves during ${what}, the values stay, the signal is aborted, and onEnd runs once afterwards`, async (t) => {
    const seen: unknown[] = []
    const started = gate()
    const gone = gate()
    const ended = gate()
    const { port, held } = await setting(t, (app, ctx) => {
      const note = (what: string): void => {
        ctx.memo(() => 1)()
        ctx.cache.set(what, 1)
        ctx.run({}, () => { seen.push([what, ctx.require('tenant'), ctx.signal.aborted]) })
      }
      app.addHook('onRequest', async () => {
        ctx.onEnd(() => { seen.push(['onEnd', ctx.get('tenant'), true]) })
        ctx.after(() => { seen.push(['after', ctx.get('tenant'), false]); ended.open() })
      })
      app.addHook('onRequest', async (_request, reply) => { reply.raw.on('close', () => { setTimeout(gone.open, 20) }) })
      begin({ app, ctx, started: started.open, gone: gone.promise, note })
    })
    await leave(port, request, started.promise)
    await ended.promise
    await turns(10)
    t.same(seen.slice(-3), [[last, 'acme', true], ['onEnd', 'acme', true], ['after', 'acme', false]])
    t.equal(held(), true, 'no value is dropped by force')
  })
}

t.test('if the client of a pending callback handler leaves, onEnd runs, and later work has the values and its own onEnd', async (t) => {
  const seen: unknown[] = []
  const started = gate()
  const ended = gate()
  const work = gate()
  const done = gate()
  const { port } = await setting(t, (app, ctx) => {
    app.get('/', (_request, reply) => {
      ctx.onEnd(() => { seen.push('onEnd'); ended.open() })
      started.open()
      work.promise.then(() => {
        ctx.onEnd(() => { seen.push(`late onEnd ${ctx.get('tenant')}`) })
        ctx.set('tenant', 'globex')
        seen.push(ctx.require('tenant'))
        reply.send('nobody reads')
        done.open()
      }, t.error)
    })
  })
  await leave(port, GET, started.promise)
  await ended.promise
  await turns(5)
  work.open()
  await done.promise
  await turns(5)
  t.same(seen, ['onEnd', 'globex', 'late onEnd globex'])
})

t.test('if a client leaves in the middle of its body, no handler runs, and the request ends', async (t) => {
  const started = gate()
  const ended = gate<unknown>()
  const { port } = await setting(t, (app, ctx) => {
    app.addHook('preParsing', async (_request, _reply, payload) => {
      ctx.onEnd(() => { ended.open(ctx.get('tenant')) })
      started.open()
      return payload
    })
    app.post('/', async () => 'never')
  })
  await leave(port, HALF, started.promise)
  t.equal(await ended.promise, 'acme')
})

t.test('a hook that answers and never calls done ends with its response', async (t) => {
  const { url, held } = await setting(t, (app) => {
    app.addHook('preHandler', (_request, reply) => { setImmediate(() => { reply.send('early') }) })
    app.get('/', async () => 'never')
  })
  t.equal(await (await fetch(url)).text(), 'early')
  await turns(5)
  t.equal(held(), false)
})

t.test('work after the response has the values until it settles, then they are dropped', async (t) => {
  for (const [what, handler] of Object.entries({
    'after reply.send': async (reply: FastifyReply, wait: Promise<void>): Promise<unknown> => { reply.send('ok'); await wait; return reply },
    'after the handlerTimeout': async (_reply: FastifyReply, wait: Promise<void>): Promise<unknown> => { await wait; return 'late' }
  })) {
    if (what.includes('handlerTimeout') && !fastifyHas('handlerTimeout')) continue
    const work = gate()
    const seen = gate<unknown>()
    const ended: string[] = []
    const { url, held } = await setting(t, (app, ctx) => {
      app.get('/', { handlerTimeout: 40 } as object, async (_request, reply) => {
        ctx.onEnd(() => { ended.push('onEnd') })
        const result = await handler(reply, work.promise)
        seen.open(ctx.require('tenant'))
        return result
      })
    })
    await (await fetch(url)).text()
    await new Promise((resolve) => { setTimeout(resolve, 30) })
    t.equal(held(), true, what)
    t.same(ended, [])
    work.open()
    t.equal(await seen.promise, 'acme')
    await turns(5)
    t.same(ended, ['onEnd'])
    t.equal(held(), what.includes('handlerTimeout'), 'only settled work releases the values')
  }
})

t.test('a callback handler that continues after its handlerTimeout keeps its values', { skip: fastifyHas('handlerTimeout') ? false : 'Fastify has no handlerTimeout' }, async (t) => {
  const work = gate()
  const seen = gate<unknown>()
  const { url } = await setting(t, (app, ctx) => {
    app.addHook('preHandler', (_request, _reply, done) => { setImmediate(done) })
    app.get('/', { handlerTimeout: 20 } as object, (_request, reply) => {
      work.promise.then(() => { seen.open(ctx.require('tenant')); reply.send('late') }, t.error)
    })
  })
  t.equal((await fetch(url)).status, 503)
  await turns(10)
  work.open()
  t.equal(await seen.promise, 'acme')
})

t.test('if the client left before the scope opened, the work has the values, the signal starts aborted, and onEnd runs once', async (t) => {
  for (const [what, options] of Object.entries({
    'in a slow hook before the plugin': {},
    'in a slow serverFactory': { serverFactory: (handler: http.RequestListener) => http.createServer((request, response) => { setTimeout(handler, 50, request, response) }) }
  })) {
    const ctx = makeContext()
    const app = Fastify({ ...options, forceCloseConnections: true })
    const started = gate()
    const ended = gate()
    const seen: unknown[] = []
    app.server.prependListener('request', () => { started.open() })
    app.addHook('onRequest', (_request, _reply, done) => { setTimeout(done, 50) })
    await app.register(ctx.plugin)
    app.addHook('onRequest', async () => {
      seen.push(ctx.signal.aborted)
      ctx.onEnd(() => { seen.push('onEnd') })
      ctx.after(() => { seen.push('after'); ended.open() })
    })
    app.get('/', async () => { await turns(); seen.push(ctx.require('tenant')) })
    const { port } = await listen(t, app)
    await leave(port, GET, started.promise)
    await ended.promise
    await turns(5)
    t.same(seen, [true, 'acme', 'onEnd', 'after'], what)
  }
})

t.test('a request lasts until the stream that it sent has closed, and no longer', async (t) => {
  const slow = (): Readable => new Readable({ read () { this.push('x'); this.push(null) }, destroy (error, done) { setTimeout(done, 40, error) } })
  const dir = t.testdir({ file: 'x'.repeat(1000) })
  for (const [what, make, lasts] of [
    ['a file', () => createReadStream(`${dir}/file`), true],
    ['a slow destroy', slow, true],
    ['compressed', () => slow().pipe(createGzip()), true],
    ['a generator', () => Readable.from((async function * () { try { yield 'x' } finally { await turns(5) } })()), true],
    ['no close', () => new Readable({ emitClose: false, read () { this.push('x'); this.push(null) } }), false],
    ['destroyed by hand only', () => new Readable({ autoDestroy: false, read () { this.push('x'); this.push(null) } }), false],
    ['writable after its end', () => new Duplex({ read () { this.push('x'); this.push(null) }, write (_part, _encoding, done) { done() } }), true]
  ] as const) {
    const seen: unknown[] = []
    const ended = gate()
    const { url, held } = await setting(t, (app, ctx) => {
      app.get('/', async () => {
        const stream = make()
        ctx.onEnd(() => { seen.push('onEnd'); ended.open() })
        stream.on('close', () => { seen.push(`close ${ctx.get('tenant')}`) })
        finished(stream, () => { seen.push(`finished ${ctx.get('tenant')}`) })
        return stream
      })
    })
    t.equal((await fetch(url)).status, 200)
    await ended.promise
    await turns(5)
    t.equal(seen.at(-1), 'onEnd', what)
    if (lasts && what !== 'writable after its end') t.same(seen, ['close acme', 'finished acme', 'onEnd'].sort((a, b) => seen.indexOf(a) - seen.indexOf(b)), what)
    t.equal(held(), false, what)
  }
})

t.test('a stream that was replaced before anybody read it is not waited for, its replacement is', async (t) => {
  const ended: string[] = []
  const over = gate()
  const { url } = await setting(t, (app, ctx) => {
    app.addHook('onSend', async (request) => {
      if (request.url === '/text') return 'text'
      const stream = Readable.from(['x'])
      stream.on('close', () => { ended.push('closed') })
      return stream
    })
    app.addHook('onSend', (request, _reply, payload, done) => { done(null, request.url === '/text' ? payload : (payload as Readable).pipe(new PassThrough())) })
    app.get('/*', async () => {
      ctx.onEnd(() => { ended.push('onEnd'); if (ended.filter((what) => what === 'onEnd').length === 2) over.open() })
      return new Readable({ read () { this.push('never read') } })
    })
  })
  t.equal(await (await fetch(`${url}/text`)).text(), 'text')
  t.equal(await (await fetch(`${url}/stream`)).text(), 'x')
  await over.promise
  t.same(ended, ['onEnd', 'closed', 'onEnd'])
})

t.test('a listener that throws does not prevent the end of its request', async (t) => {
  const ended = gate<unknown>()
  const thrown = gate<unknown>()
  const before = process.listeners('uncaughtException')
  process.removeAllListeners('uncaughtException')
  process.once('uncaughtException', thrown.open)
  t.teardown(() => { for (const listener of before) process.on('uncaughtException', listener) })
  const { url } = await setting(t, (app, ctx) => {
    app.get('/', async (_request, reply) => {
      reply.raw.once('close', () => { throw new Error('broken listener') })
      ctx.onEnd(() => { ended.open(ctx.get('tenant')) })
      return 'ok'
    })
  })
  await fetch(url)
  t.match(await thrown.promise, { message: 'broken listener' })
  t.equal(await ended.promise, 'acme')
})

t.test('a test runner\'s fake timers during a request do not prevent its end, nor the end of others', async (t) => {
  let ends = 0
  const { url } = await setting(t, (app, ctx) => {
    app.get('/', async () => { ctx.onEnd(() => { ends++ }); return 'ok' })
  })
  const real = globalThis.setImmediate
  t.teardown(() => { globalThis.setImmediate = real })
  await fetch(url)
  globalThis.setImmediate = (() => {}) as never
  await (await fetch(url)).text()
  globalThis.setImmediate = real
  await (await fetch(url)).text()
  await turns(5)
  t.equal(ends, 3)
})

t.test('onResponse hooks of many requests have the values, although all go on in one turn that takes long', async (t) => {
  const count = 40
  const held: Array<() => void> = []
  const all = gate()
  const seen: unknown[] = []
  const { port } = await setting(t, (app, ctx) => {
    app.addHook('onResponse', (_request, _reply, done) => {
      if (held.push(done) === count) all.open()
    })
    app.addHook('onResponse', async () => { seen.push(ctx.get('tenant')) })
    app.get('/', async () => 'ok')
  })
  await Promise.all(Array.from({ length: count }, () => exchange(port, 'GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')))
  await all.promise
  await turns()
  for (const [i, done] of held.entries()) {
    done()
    if (i === 0) block(150)
  }
  await turns()
  t.same(seen, Array(count).fill('acme'))
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

t.test('HTTP/2: a complete response, and a stream that the client resets', async (t) => {
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
  t.equal(held(), true)
  work.open()
})

t.test('two contexts end together, and scopes opened by ctx.run end with them', async (t) => {
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

t.test('HTTP/2: if a client resets its stream before the scope opens, the work has the values, the signal is aborted, and onEnd runs once', async (t) => {
  const ctx = makeContext()
  const app = Fastify({ http2: true })
  t.teardown(() => app.close())
  const [started, over] = [gate(), gate()]
  const seen: unknown[] = []
  app.addHook('onRequest', (_request, _reply, done) => { started.open(); setTimeout(done, 50) })
  await app.register(ctx.plugin)
  app.addHook('onRequest', async () => {
    seen.push(ctx.signal.aborted)
    ctx.onEnd(() => { seen.push('onEnd') })
    ctx.after(() => { seen.push('after'); over.open() })
  })
  app.get('/', async () => { await turns(); seen.push(ctx.require('tenant')) })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const session = http2.connect(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}`)
  t.teardown(() => { session.destroy() })
  const stream = session.request({ ':path': '/' })
  stream.on('error', () => {})
  await started.promise
  stream.close(http2.constants.NGHTTP2_CANCEL)
  await over.promise
  await turns(5)
  t.same(seen, [true, 'acme', 'onEnd', 'after'])
})

t.test('connectionTimeout: the handler keeps its values, and onEnd runs once after it', async (t) => {
  const ctx = makeContext()
  const app = Fastify({ connectionTimeout: 100, forceCloseConnections: true })
  const over = gate()
  const seen: unknown[] = []
  await app.register(ctx.plugin)
  app.get('/', async (_request, reply) => {
    ctx.onEnd(() => { seen.push(`onEnd ${ctx.get('tenant')}`); over.open() })
    await once(reply.raw, 'close')
    await new Promise((resolve) => { setTimeout(resolve, 30) })
    seen.push(ctx.signal.aborted, ctx.require('tenant'))
  })
  const { url } = await listen(t, app)
  await t.rejects(fetch(url))
  await over.promise
  await turns(5)
  t.same(seen, [true, 'acme', 'onEnd acme'])
})

t.test('a web stream whose client leaves: its async cancel has the values, although the end does not wait for it', async (t) => {
  const [begun, cancelled] = [gate(), gate()]
  const seen: unknown[] = []
  const { port } = await setting(t, (app, ctx) => {
    app.get('/', async () => {
      ctx.onEnd(() => { seen.push('onEnd') })
      return new ReadableStream({
        pull (controller) { controller.enqueue(new Uint8Array(10_000)); begun.open() },
        async cancel () {
          seen.push(`cancel ${ctx.get('tenant')}`)
          await new Promise((resolve) => { setTimeout(resolve, 30) })
          seen.push(`30 ms later ${ctx.require('tenant')}`)
          cancelled.open()
        }
      })
    })
  })
  await leave(port, GET, begun.promise)
  await cancelled.promise
  t.same(seen.sort(), ['30 ms later acme', 'cancel acme', 'onEnd'])
})

t.test('a callback handler that answers after its aborted request has ended: the end is published once', async (t) => {
  const ends: unknown[] = []
  const count = (message: unknown): void => { ends.push((message as { requestId: string }).requestId) }
  diagnostics.subscribe('fastify-ctx:end', count)
  t.teardown(() => { diagnostics.unsubscribe('fastify-ctx:end', count) })
  const [entered, work] = [gate(), gate()]
  const ctx = createContext({ tenant: key<string>({ seed: () => 'acme' }) })
  const app = Fastify()
  await app.register(ctx.plugin)
  app.get('/', (_request, reply) => {
    entered.open()
    work.promise.then(() => { reply.send('late') }, t.error)
  })
  const { port } = await listen(t, app)
  const socket = net.connect(port, '127.0.0.1')
  socket.write('GET / HTTP/1.1\r\nhost: x\r\nx-request-id: lost-1\r\n\r\n')
  await entered.promise
  socket.destroy()
  await sleep(30)
  t.same(ends, ['lost-1'])
  work.open()
  await sleep(30)
  t.same(ends, ['lost-1'])
})
