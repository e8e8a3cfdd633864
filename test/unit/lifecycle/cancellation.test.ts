import { once } from 'node:events'
import { createServer as createHttpServer, type Server } from 'node:http'
import http2 from 'node:http2'
import net, { type AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import t from 'tap'
import { request as undiciRequest } from 'undici'
import { createContext, key } from '../../../lib/index.ts'
import { fastifyHas, gate, listen, turns, warnings, type Tap } from '../../support/support.ts'

const ctx = createContext({ tenant: key<string>({ seed: () => 'acme' }) })

async function setting (t: Tap, routes: (app: FastifyInstance) => void, options: FastifyServerOptions = {}): Promise<{ readonly app: FastifyInstance, readonly url: string, readonly port: number }> {
  const app: FastifyInstance = Fastify(options)
  await app.register(ctx.plugin)
  routes(app)
  return { app, ...await listen(t, app) }
}

/** Sends the head of a GET request. */
function client (t: Tap, port: number, path = '/'): net.Socket {
  const socket = net.connect(port, '127.0.0.1')
  socket.write(`GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`)
  t.teardown(() => { socket.destroy() })
  return socket
}

/** Resolves with the reason when a signal is aborted. Keeps the process alive until then, which signal timers do not do. */
async function reasonOf (signal: AbortSignal): Promise<unknown> {
  await sleep(60_000, undefined, { signal }).catch(() => {})
  return signal.reason
}

const GONE = { code: 'FST_CTX_CLIENT_GONE', name: 'AbortError' }
const LATE = { code: 'FST_CTX_DEADLINE', name: 'TimeoutError' }

t.test('outside a scope the signal is never aborted', async (t) => {
  t.equal(ctx.signal.aborted, false)
  t.equal(ctx.deadline, undefined)
})

t.test('a scope always returns the same signal, and a nested scope without limits returns the signal of its parent', async (t) => {
  ctx.run({}, () => {
    const { signal } = ctx
    t.equal(ctx.signal, signal)
    ctx.run({}, () => { t.equal(ctx.signal, signal) })
    ctx.run({}, () => { t.equal(ctx.signal, signal) }, { timeout: undefined } as never)
    ctx.run({}, () => { t.not(ctx.signal, signal) }, { timeout: 1000 })
    ctx.run({}, () => { t.not(ctx.signal, signal) }, { inherit: false })
  })
})

t.test('the client disconnects', async (t) => {
  t.test('before the response: the signal is aborted, and its listeners run in the scope', async (t) => {
    const [entered, done] = [gate(), gate<unknown[]>()]
    const { port } = await setting(t, (app) => {
      app.get('/', async () => {
        const { signal } = ctx
        ctx.set('tenant', 'globex')
        let inListener: unknown
        signal.addEventListener('abort', () => { inListener = ctx.get('tenant') })
        const inner = ctx.run({}, async () => reasonOf(ctx.signal), { timeout: 60_000 })
        entered.open()
        done.open([signal.reason ?? await reasonOf(signal), await inner, inListener])
      })
    })
    const socket = client(t, port)
    await entered.promise
    socket.destroy()
    const [reason, inner, inListener] = await done.promise
    t.match(reason, GONE)
    t.equal(inner, reason)
    t.equal(inListener, 'globex')
  })

  t.test('before the first use of the signal: it is already aborted', async (t) => {
    const [entered, closed, done] = [gate(), gate(), gate<AbortSignal>()]
    const { port } = await setting(t, (app) => {
      app.get('/', async (request) => {
        request.raw.once('close', () => { closed.open() })
        entered.open()
        await closed.promise
        done.open(ctx.signal)
      })
    })
    const socket = client(t, port)
    await entered.promise
    socket.destroy()
    const signal = await done.promise
    t.ok(signal.aborted)
    t.match(signal.reason, GONE)
  })

  t.test('in the middle of the response', async (t) => {
    const reason = gate<unknown>()
    const { port } = await setting(t, (app) => {
      app.get('/', async (_request, reply) => {
        reply.hijack()
        reply.raw.write('some of it')
        reason.open(await reasonOf(ctx.signal))
      })
    })
    const socket = client(t, port)
    await once(socket, 'data')
    socket.destroy()
    t.match(await reason.promise, GONE)
  })

  t.test('detached work and a separate root are not aborted', async (t) => {
    const [entered, closed] = [gate(), gate()]
    const done = gate<boolean[]>()
    const { port } = await setting(t, (app) => {
      app.get('/', async () => {
        const before = [ctx.run({}, () => ctx.signal, { inherit: false })]
        ctx.detach(async () => {
          before.push(ctx.signal)
          await closed.promise
          ctx.detach(() => { before.push(ctx.signal) })
          done.open(before.map(({ aborted }) => aborted))
        })
        ctx.signal.addEventListener('abort', () => { closed.open() })
        entered.open()
        await closed.promise
      })
    })
    const socket = client(t, port)
    await entered.promise
    socket.destroy()
    t.same(await done.promise, [false, false, false])
  })

  t.test('fetch, undici and timers stop with its reason or with an AbortError', async (t) => {
    const upstream: Server = createHttpServer(() => { asked() })
    await once(upstream.listen(0, '127.0.0.1'), 'listening')
    t.teardown(() => { upstream.closeAllConnections(); upstream.close() })
    const { port: upstreamPort } = upstream.address() as AddressInfo
    const [bothAsked, done] = [gate(), gate<Array<PromiseSettledResult<unknown>>>()]
    let requests = 0
    const asked = (): void => { if (++requests === 2) bothAsked.open() }
    const { port } = await setting(t, (app) => {
      app.get('/', async () => {
        const { signal } = ctx
        done.open(await Promise.allSettled([
          fetch(`http://127.0.0.1:${upstreamPort}`, { signal }),
          undiciRequest(`http://127.0.0.1:${upstreamPort}`, { signal }),
          sleep(60_000, undefined, { signal })
        ]))
      })
    })
    const socket = client(t, port)
    await bothAsked.promise
    socket.destroy()
    const [fetched, requested, slept] = await done.promise
    t.match(fetched, { status: 'rejected', reason: GONE })
    t.match(requested, { status: 'rejected', reason: GONE })
    t.match(slept, { status: 'rejected', reason: { name: 'AbortError', cause: GONE } })
  })
})

t.test('the signal is never aborted', async (t) => {
  async function isNotAborted (t: Tap, ask: (url: string, port: number) => Promise<unknown>, options: object = {}): Promise<void> {
    const [signals, ended] = [[] as AbortSignal[], gate()]
    const { url, port } = await setting(t, (app) => {
      app.addHook('onRequest', async () => { signals.push(ctx.signal); ctx.onEnd(() => { ended.open() }) })
      app.route({
        method: ['GET', 'POST', 'HEAD'],
        url: '/',
        exposeHeadRoute: false,
        handler: async () => {
          // The body has been read and the request stream closed.
          await turns(5)
          return { aborted: ctx.signal.aborted }
        }
      })
    }, options)
    await ask(url, port)
    await ended.promise
    await turns()
    t.same(signals.map(({ aborted }) => aborted), [false])
  }

  t.test('on a POST request whose body was read, during and after the handler', async (t) => {
    await isNotAborted(t, async (url) => {
      const answer = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"a":1}' })
      t.same(await answer.json(), { aborted: false })
    })
  })

  t.test('on a POST request whose body arrives in delayed chunks', async (t) => {
    await isNotAborted(t, async (_url, port) => {
      const socket = net.connect(port, '127.0.0.1')
      socket.write('POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n')
      for (const part of ['3\r\n{"a\r\n', '4\r\n":1}\r\n', '0\r\n\r\n']) {
        await turns(3)
        socket.write(part)
      }
      const parts: Buffer[] = []
      for await (const part of socket) parts.push(part as Buffer)
      t.match(Buffer.concat(parts).toString(), '{"aborted":false}')
    })
  })

  t.test('on a normal HTTP/2 GET request', async (t) => {
    await isNotAborted(t, async (url) => {
      const session = http2.connect(url)
      t.teardown(() => { session.destroy() })
      const stream = session.request({ ':path': '/' })
      const parts: Buffer[] = []
      for await (const part of stream) parts.push(part as Buffer)
      t.same(JSON.parse(Buffer.concat(parts).toString()), { aborted: false })
      session.close()
    }, { http2: true })
  })

  t.test('on a POST request that is answered before its body arrives, and whose connection is then closed', async (t) => {
    const [signals, ended] = [[] as AbortSignal[], gate()]
    const { port } = await setting(t, (app) => {
      app.addHook('onRequest', async (_request, reply) => {
        signals.push(ctx.signal)
        ctx.onEnd(() => { ended.open() })
        await reply.header('connection', 'close').code(401).send('no')
      })
      app.post('/', async () => 'ok')
    })
    const socket = net.connect(port, '127.0.0.1')
    socket.write('POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\ncontent-type: text/plain\r\n\r\nabc')
    await once(socket.resume(), 'close')
    await ended.promise
    await turns()
    t.same(signals.map(({ aborted }) => aborted), [false])
  })

  for (const method of ['GET', 'HEAD']) {
    t.test(`on a normal ${method} request, nor by a disconnect after the response`, async (t) => {
      await isNotAborted(t, async (_url, port) => {
        const socket = net.connect(port, '127.0.0.1')
        socket.write(`${method} / HTTP/1.1\r\nhost: x\r\n\r\n`)
        await once(socket, 'data')
        socket.destroy()
      })
    })
  }
})

if (fastifyHas('handlerTimeout')) {
  t.test('handlerTimeout aborts the signal of GET and POST requests, and sets ctx.deadline', async (t) => {
    const reasons: unknown[] = []
    const left: unknown[] = []
    const { url } = await setting(t, (app) => {
      app.route({
        method: ['GET', 'POST'],
        url: '/',
        handlerTimeout: 30,
        handler: async (request) => {
          left.push(ctx.deadline)
          reasons.push(await reasonOf(ctx.signal), ctx.get('tenant'))
          // Fastify's own timer fires at the same time and responds first.
          await reasonOf(request.signal)
          return 'late'
        }
      })
      app.get('/in-time', { handlerTimeout: 60_000 }, async () => {
        left.push(ctx.deadline)
        return ctx.signal.aborted
      })
    })
    t.equal((await fetch(url)).status, 503)
    await (await fetch(url, { method: 'POST', headers: { 'content-type': 'text/plain' }, body: 'x' })).text()
    t.match(reasons, [LATE, 'acme', LATE, 'acme'])
    t.equal(await (await fetch(`${url}/in-time`)).text(), 'false')
    t.ok(left.slice(0, 2).every((ms) => (ms as number) <= 30))
    t.ok((left[2] as number) > 50_000)
  })

  t.test('handlerTimeout: a signal that is first used after the timeout is already aborted', async (t) => {
    const reason = gate<unknown>()
    const { url } = await setting(t, (app) => {
      app.get('/', { handlerTimeout: 20 }, async (request) => {
        await reasonOf(request.signal)
        await turns(1)
        // The limit is measured from a slightly later moment.
        const first = await reasonOf(ctx.signal)
        t.equal(ctx.signal.reason, first)
        reason.open(first)
      })
    })
    t.equal((await fetch(url)).status, 503)
    t.match(await reason.promise, LATE)
  })
} else {
  t.test('handlerTimeout on a Fastify version without it aborts nothing and sets no deadline', async (t) => {
    const { url } = await setting(t, (app) => {
      app.get('/', { handlerTimeout: 20 }, async () => {
        await sleep(60)
        return { aborted: ctx.signal.aborted, left: ctx.deadline ?? 'no limit' }
      })
    })
    const answer = await fetch(url)
    t.equal(answer.status, 200)
    t.same(await answer.json(), { aborted: false, left: 'no limit' })
  })
}

t.test('the limits of run', async (t) => {
  t.test('timeout: aborts the signal after that time, not before', async (t) => {
    await ctx.run({ tenant: 'acme' }, async () => {
      t.ok(ctx.deadline! > 0 && ctx.deadline! <= 20)
      t.notOk(ctx.signal.aborted)
      let inListener: unknown
      ctx.signal.addEventListener('abort', () => { inListener = ctx.get('tenant') })
      t.match(await reasonOf(ctx.signal), LATE)
      t.equal(ctx.deadline, 0)
      t.equal(inListener, 'acme')
    }, { timeout: 20 })
  })

  t.test('deadline: takes a Date or milliseconds; one in the past aborts the signal at once', async (t) => {
    for (const deadline of [new Date(Date.now() - 1), Date.now() - 1, 0, new Date(0)]) {
      ctx.run({}, () => {
        t.ok(ctx.signal.aborted)
        t.match(ctx.signal.reason, LATE)
        t.equal(ctx.deadline, 0)
      }, { deadline })
    }
    ctx.run({}, () => { t.ok(ctx.signal.aborted) }, { timeout: 0 })
    ctx.run({}, () => {
      t.notOk(ctx.signal.aborted)
      t.ok(ctx.deadline! > 50_000)
    }, { deadline: new Date(Date.now() + 60_000) })
  })

  t.test('signal: aborts with its reason; at once if it is already aborted', async (t) => {
    const controller = new AbortController()
    await ctx.run({}, async () => {
      t.not(ctx.signal, controller.signal)
      ctx.run({}, () => { t.notOk(ctx.signal.aborted) })
      controller.abort('enough')
      t.equal(await reasonOf(ctx.signal), 'enough')
      t.equal(ctx.deadline, undefined)
    }, { signal: controller.signal })
    ctx.run({}, () => { t.equal(ctx.signal.reason, 'enough') }, { signal: controller.signal })
  })

  t.test('combine with the limits of outer scopes, and the narrowest applies', async (t) => {
    const controller = new AbortController()
    await ctx.run({}, async () => {
      const outer = ctx.signal
      await ctx.run({}, async () => {
        t.ok(ctx.deadline! <= 60_000)
        await ctx.run({}, async () => {
          t.match(await reasonOf(ctx.signal), LATE)
          t.notOk(outer.aborted)
        }, { timeout: 5 })
        t.notOk(ctx.signal.aborted)
        controller.abort('all')
        t.equal(ctx.signal.reason, 'all')
        ctx.run({}, () => { t.equal(ctx.signal.reason, 'all') }, { timeout: 1000 })
        ctx.run({}, () => { t.notOk(ctx.signal.aborted) }, { timeout: 1000, inherit: false })
      }, { timeout: 120_000 })
    }, { timeout: 60_000, signal: controller.signal })
  })

  t.test('a timeout beyond the range of timers aborts nothing', async (t) => {
    const seen = warnings(t, 'TimeoutOverflowWarning')
    for (const timeout of [2 ** 31, Infinity]) {
      await ctx.run({}, async () => {
        const { signal } = ctx
        await sleep(5)
        t.notOk(signal.aborted)
      }, { timeout })
    }
    t.same(seen, [])
  })

  t.test('are released when the function settles: no listener stays, and nothing is aborted later', async (t) => {
    const controller = new AbortController()
    const listeners = (): number => counting.added - counting.removed
    const counting = countListeners(controller.signal)
    const signals: AbortSignal[] = []
    const use = (): void => { signals.push(ctx.signal) }
    ctx.run({}, use, { timeout: 5, signal: controller.signal })
    await ctx.run({}, async () => { use() }, { timeout: 5, signal: controller.signal })
    t.throws(() => ctx.run({}, () => { use(); throw new Error('within') }, { signal: controller.signal }), { message: 'within' })
    t.equal(counting.added, 3)
    t.equal(listeners(), 0)
    controller.abort()
    await sleep(20)
    t.same(signals.map(({ aborted }) => aborted), [false, false, false])
  })

  t.test('a timer starts only when the signal is first used', async (t) => {
    const { setTimeout: original } = globalThis
    let timers = 0
    t.teardown(() => { globalThis.setTimeout = original })
    globalThis.setTimeout = ((...args: Parameters<typeof original>) => { timers++; return original(...args) }) as typeof original
    ctx.run({}, () => { t.ok(ctx.deadline! > 0) }, { timeout: 60_000 })
    t.equal(timers, 0)
    ctx.run({}, () => ctx.signal, { timeout: 60_000 })
    t.equal(timers, 1)
  })

  t.test('invalid limits throw, and the function is not called', async (t) => {
    const fn = (): void => { t.fail('called') }
    for (const options of [{ timeout: -1 }, { timeout: NaN }, { timeout: '5' }, { timeout: null }, { deadline: NaN }, { deadline: new Date(NaN) }, { deadline: 'soon' }, { signal: {} }, { signal: new AbortController() }]) {
      t.throws(() => ctx.run({}, fn, options as never), { code: 'FST_CTX_INVALID_ARGUMENT' }, JSON.stringify(options))
    }
  })
})

t.test('a deadline of run aborts fetch in a request, and the request continues', async (t) => {
  const upstream = createHttpServer(() => {})
  await once(upstream.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => { upstream.closeAllConnections(); upstream.close() })
  const { port: upstreamPort } = upstream.address() as AddressInfo
  const { url } = await setting(t, (app) => {
    app.get('/', async () => {
      const outcome = await ctx.run({}, async () => fetch(`http://127.0.0.1:${upstreamPort}`, { signal: ctx.signal }), { timeout: 20 }).catch(({ name, code }) => ({ name, code }))
      return { outcome, aborted: ctx.signal.aborted }
    })
  })
  t.same(await (await fetch(url)).json(), { outcome: LATE, aborted: false })
})

/** How many listeners were added to a signal, and how many were removed. */
function countListeners (signal: AbortSignal): { added: number, removed: number } {
  const counting = { added: 0, removed: 0 }
  const { addEventListener, removeEventListener } = signal
  Object.assign(signal, {
    addEventListener (...args: Parameters<typeof addEventListener>) { counting.added++; addEventListener.apply(signal, args) },
    removeEventListener (...args: Parameters<typeof removeEventListener>) { counting.removed++; removeEventListener.apply(signal, args) }
  })
  return counting
}

t.test('many concurrent runs with limits cause no warning, with and without a user\'s signal', async (t) => {
  const seen = warnings(t, undefined)
  const user = new AbortController()
  const go = gate()
  const reasons: unknown[] = []
  await ctx.run({}, async () => {
    ctx.signal.addEventListener('abort', () => {})
    const work = Array.from({ length: 30 }, (_, i) => ctx.run({}, async () => {
      const { signal } = ctx
      await go.promise
      reasons.push(signal.reason)
    }, i % 2 === 0 ? { timeout: 60_000, signal: user.signal } : { timeout: 60_000 }))
    user.abort('enough')
    go.open()
    await Promise.all(work)
  })
  await turns()
  t.same(seen.map(({ name }) => name), [])
  t.equal(reasons.filter((reason) => reason === 'enough').length, 15)
})

t.test('a user\'s signal is listened to as long as a run follows it', async (t) => {
  const { signal } = new AbortController()
  let listeners = 0
  const { addEventListener, removeEventListener } = signal
  signal.addEventListener = function (...args: any[]) { listeners++; return addEventListener.apply(this, args as never) }
  signal.removeEventListener = function (...args: any[]) { listeners--; return removeEventListener.apply(this, args as never) }
  const go = gate()
  const first = ctx.run({}, async () => { await go.promise }, { signal })
  await ctx.run({}, async () => {}, { signal })
  t.equal(listeners, 1)
  go.open()
  await first
  t.equal(listeners, 0)
})

t.test('thousands of nested runs with limits are aborted with the outermost', async (t) => {
  const user = new AbortController()
  const aborted = gate<unknown>()
  let depth = 0
  const down = async (): Promise<void> => {
    if (++depth < 5000) {
      await null
      return ctx.run({}, down, { timeout: 60_000 })
    }
    ctx.signal.addEventListener('abort', () => { aborted.open(ctx.signal.reason) })
    user.abort('enough')
  }
  await ctx.run({}, down, { signal: user.signal })
  t.equal(await aborted.promise, 'enough')
})

t.test('a run that outlives its settled parent is still aborted by the scopes around the parent', async (t) => {
  const user = new AbortController()
  const go = gate()
  const [within, opened] = [gate<AbortSignal>(), gate<AbortSignal>()]
  await ctx.run({}, async () => {
    ctx.run({}, () => {
      ctx.run({}, async () => {
        within.open(ctx.signal)
        await go.promise
        ctx.run({}, () => { opened.open(ctx.signal) }, { timeout: 60_000 })
      }, { timeout: 60_000 }).catch(t.fail)
    }, { timeout: 60_000 })
    const signal = await within.promise
    user.abort('enough')
    t.equal(signal.reason, 'enough')
    go.open()
    t.equal((await opened.promise).reason, 'enough')
  }, { signal: user.signal })
})
