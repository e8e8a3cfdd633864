import { once } from 'node:events'
import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { requestContext } from '@fastify/request-context'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import t from 'tap'
import { createContext, key, type ContextOptions } from '../../../lib/index.ts'
import { gate, Lines, listen, turns, unhandled, warnings, type Tap } from '../../support/support.ts'

interface Setting { readonly app: FastifyInstance, readonly lines: Lines, readonly url: string, readonly port: number, readonly get: (path?: string) => Promise<string> }

const ctx = createContext({ tenant: key<string>({ log: true, locked: true, seed: () => 'acme' }), user: key<string>({ log: true }) })

/** An application on a socket that closes each connection after its response, so that app.close() waits only for work. */
async function setting (t: Tap, routes: (app: FastifyInstance) => void, options: ContextOptions = {}, server: FastifyServerOptions = {}): Promise<Setting> {
  const lines = new Lines(t)
  const app: FastifyInstance = Fastify({ logger: { stream: lines }, ...server })
  await app.register(ctx.plugin, options)
  routes(app)
  const { url, port } = await listen(t, app)
  const get = async (path = '/'): Promise<string> => (await fetch(url + path, { headers: { connection: 'close', 'x-request-id': 'id-1' } })).text()
  return { app, lines, url, port, get }
}

t.test('onEnd', async (t) => {
  t.test('runs after the response and the onResponse hooks, in the scope, in reverse order, one callback at a time', async (t) => {
    const seen: string[] = []
    const ended = gate()
    const { get, lines } = await setting(t, (app) => {
      app.addHook('onResponse', async () => { await turns(1); seen.push('onResponse') })
      app.get('/', async () => {
        ctx.onEnd(() => { seen.push(`first of ${ctx.get('tenant')} ${ctx.get('user')} ${ctx.cache.get('k')}`); ctx.log.info('end'); ended.open() })
        ctx.onEnd(async () => { seen.push('second begins'); await turns(2); seen.push('second ends') })
        ctx.run({ user: 'inner' }, () => { ctx.onEnd(() => { seen.push(`inner of ${ctx.get('user')}`) }) })
        ctx.set('user', 'ada')
        ctx.cache.set('k', 7)
        seen.push('handler')
        return 'ok'
      })
    })
    t.equal(await get(), 'ok')
    await ended.promise
    t.same(seen, ['inner of inner', 'handler', 'onResponse', 'second begins', 'second ends', 'first of acme ada 7'])
    t.match(lines.one('end'), { reqId: 'id-1', tenant: 'acme', user: 'ada' })
  })

  t.test('each callback runs even if another fails, and failures are logged with the fields of the request', async (t) => {
    const told = unhandled(t)
    const ended = gate()
    const { get, lines } = await setting(t, (app) => {
      app.get('/', async () => {
        ctx.set('user', 'ada')
        ctx.onEnd(() => { ended.open() })
        ctx.onEnd(() => { throw new Error('thrown') })
        ctx.onEnd(async () => { await turns(1); throw new Error('rejected') })
        return 'ok'
      })
    })
    await get()
    await ended.promise
    await turns()
    const failed = lines.all('a callback of ctx.onEnd failed')
    t.match(failed, [{ level: 50, err: { message: 'rejected' } }, { level: 50, err: { message: 'thrown' } }])
    for (const line of failed) t.match(line, { reqId: 'id-1', tenant: 'acme', user: 'ada' })
    t.same(told, [])
  })

  t.test('throws after the callbacks have started', async (t) => {
    const result = gate<unknown>()
    const { get } = await setting(t, (app) => {
      app.get('/', async () => {
        ctx.onEnd(() => { try { ctx.onEnd(() => {}) } catch (error) { result.open(error) } })
        return 'ok'
      })
    })
    await get()
    t.match(await result.promise, { code: 'FST_CTX_ENDED' })
  })

  t.test('also runs after a disconnect, once the handler is done, after a failed handler, for a 404 and for inject', async (t) => {
    const seen: string[] = []
    const ended = gate<string>()
    const [entered, go] = [gate(), gate()]
    let count = 0
    const { get, port, app } = await setting(t, (app) => {
      app.addHook('onRequest', async () => { ctx.onEnd(() => { count++ }) })
      app.get('/slow', async () => {
        ctx.onEnd(() => { seen.push('onEnd'); ended.open(ctx.require('tenant')) })
        const gone = once(ctx.signal, 'abort')
        entered.open()
        await gone
        seen.push('the client is gone')
        await go.promise
        seen.push(`the handler is done for ${ctx.get('tenant')}`)
      })
      app.get('/fails', async () => { throw new Error('not today') })
    })
    const socket = net.connect(port, '127.0.0.1')
    socket.write('GET /slow HTTP/1.1\r\nhost: x\r\n\r\n')
    await entered.promise
    socket.destroy()
    await sleep(30)
    go.open()
    t.equal(await ended.promise, 'acme')
    t.same(seen, ['the client is gone', 'the handler is done for acme', 'onEnd'])
    await get('/fails')
    await get('/unknown')
    await app.inject('/fails')
    await turns()
    t.equal(count, 4)
  })

  t.test('two contexts each run their own callbacks, and the values of both stay until all are done', async (t) => {
    const other = createContext({ region: key<string>({ seed: () => 'eu' }) })
    const seen: unknown[] = []
    const [go, ended] = [gate(), gate()]
    const { get } = await setting(t, (app) => {
      app.register(other.plugin)
      app.get('/', async () => {
        ctx.onEnd(async () => { await go.promise; seen.push(['ctx', ctx.get('tenant'), other.get('region')]); ended.open() })
        other.onEnd(() => { seen.push(['other', ctx.get('tenant'), other.get('region')]); go.open() })
        return 'ok'
      })
    })
    await get()
    await ended.promise
    t.same(seen, [['other', 'acme', 'eu'], ['ctx', 'acme', 'eu']])
  })
})

t.test('detach', async (t) => {
  t.test('starts at once, in a copy that outlives the request and does not see later writes', async (t) => {
    const [go, done, ended] = [gate(), gate<unknown>(), gate()]
    const { get, lines } = await setting(t, (app) => {
      app.get('/', async (request) => {
        ctx.set('user', 'ada')
        ctx.onEnd(() => { ended.open() })
        const started: string[] = []
        ctx.run({ user: 'lin' }, () => {
          ctx.detach(async () => {
            started.push('started')
            await go.promise
            ctx.log.info('detached')
            request.log.info('by the logger of the request')
            const before = [ctx.get('tenant'), ctx.get('user'), request.ctx.get('user')]
            ctx.run({ user: 'kim' }, () => { before.push(ctx.get('user')) })
            done.open([before, ctx.get('requestId'), ctx.signal.aborted])
          })
        })
        ctx.set('user', 'later')
        return started.join()
      })
    })
    t.equal(await get(), 'started')
    await ended.promise
    await turns()
    go.open()
    t.same(await done.promise, [['acme', 'lin', 'lin', 'kim'], 'id-1', false])
    for (const message of ['detached', 'by the logger of the request']) t.match(lines.one(message), { reqId: 'id-1', tenant: 'acme', user: 'lin' })
  })

  t.test('keeps its writes in the copy, keeps locked keys locked, and keeps an impersonation', async (t) => {
    const done = gate<unknown>()
    const { get, lines } = await setting(t, (app) => {
      app.get('/', async () => {
        ctx.set('user', 'ada')
        ctx.impersonate({ user: 'lin' }, { reason: 'ticket' }, () => {
          ctx.detach(() => {
            t.throws(() => ctx.run({ tenant: 'globex' }, () => {}), { code: 'FST_CTX_LOCKED' })
            ctx.log.info('as somebody else')
            ctx.set('user', 'kim')
            done.open([ctx.get('user'), ctx.actor('user')])
          })
        })
        return ctx.get('user')
      })
    })
    t.equal(await get(), 'ada')
    t.same(await done.promise, ['kim', 'ada'])
    t.match(lines.one('as somebody else'), { user: 'lin', actor: { user: 'ada' }, reason: 'ticket', reqId: 'id-1' })
  })

  t.test('a key with detach: false is not in the copies of detach and after, nor in request.ctx, actor, request-context or a second context', async (t) => {
    const pooled = createContext({ connection: key<string>({ detach: false, locked: true }), tenant: key<string>() })
    const around = createContext({ file: key<string>({ detach: false }), region: key<string>() })
    const app = Fastify()
    await app.register(around.plugin)
    await app.register(pooled.plugin)
    const [detached, later] = [gate<unknown>(), gate<unknown>()]
    app.get('/', async (request) => {
      pooled.set('connection', 'of the request')
      pooled.set('tenant', 'acme')
      around.set('file', 'open')
      around.set('region', 'eu')
      const look = () => [
        pooled.get('connection'), pooled.actor('connection'), (request.ctx as unknown as typeof around).get('file'), requestContext.get('connection' as never), around.get('file'),
        pooled.get('tenant'), pooled.actor('tenant'), around.get('region')
      ]
      return pooled.impersonate({ connection: 'of the impersonation', tenant: 'globex' }, { reason: 'ticket' }, async () => {
        pooled.detach(async () => { await sleep(20); detached.open(look()) })
        around.after(() => { later.open(look()) })
        await sleep(30)
        return [pooled.get('connection'), pooled.actor('connection'), around.get('file')]
      })
    })
    const { url } = await listen(t, app)
    t.same(await (await fetch(url, { headers: { connection: 'close' } })).json(), ['of the impersonation', 'of the request', 'open'])
    const expected = [undefined, undefined, undefined, undefined, undefined, 'globex', 'acme', 'eu']
    t.same(await detached.promise, expected)
    t.same(await later.promise, expected)
  })

  t.test('logs an error with the fields of the request, and never causes an unhandled rejection', async (t) => {
    const told = unhandled(t)
    const { get, lines } = await setting(t, (app) => {
      app.get('/', async () => {
        ctx.set('user', 'ada')
        ctx.detach(() => { throw new Error('thrown') })
        ctx.detach(async () => { await turns(1); throw new Error('rejected') })
        return 'ok'
      })
    })
    t.equal(await get(), 'ok')
    await lines.until('detached work failed', 2)
    t.match(lines.all('detached work failed'), [{ err: { message: 'thrown' }, reqId: 'id-1', tenant: 'acme', user: 'ada' }, { err: { message: 'rejected' }, reqId: 'id-1', user: 'ada' }])
    await turns()
    t.same(told, [])
  })

  t.test('without a logger a failure emits a process warning', async (t) => {
    const told = unhandled(t)
    const seen = warnings(t, 'FST_CTX_BACKGROUND')
    const alone = createContext({})
    alone.detach(() => { throw new Error('nobody logs') })
    const nothing: unknown = Object.create(null)
    alone.run({}, () => { alone.detach(async () => { throw nothing }) })
    await turns()
    alone.detach(() => { throw new Error('x'.repeat(1_000_000)) })
    alone.detach(() => { throw Object.defineProperty(new Error('hostile'), 'stack', { get () { throw new Error('looked at') } }) })
    for (let i = 0; i < 200; i++) alone.detach(() => { throw new Error(`failure ${i}`) })
    await turns()
    t.match(seen.splice(0, 4), [{ detail: /nobody logs/ }, { detail: /null prototype/ }, { detail: /^Error: x{9000}/ }, { message: /detached work failed/ }])
    t.match(seen.at(-1), { detail: /failure 199/ }, 'each failure is reported')
    t.equal(seen.length, 200)
    t.same(told, [])
  })

  t.test('onEnd and after in detached work belong to it, also in the scopes of two contexts', async (t) => {
    const other = createContext({ region: key<string>({ seed: () => 'eu' }) })
    const seen: string[] = []
    const [go, done] = [gate(), gate()]
    const { get } = await setting(t, (app) => {
      app.register(other.plugin)
      app.get('/', async () => {
        ctx.detach(async () => {
          ctx.onEnd(() => { seen.push('end of ctx') })
          other.onEnd(() => { seen.push(`end of other ${other.get('region')}`) })
          ctx.after(() => { seen.push(`after ${ctx.get('tenant')}`); done.open() })
          await go.promise
          seen.push('work')
        })
        return 'ok'
      })
    })
    t.equal(await get(), 'ok')
    await turns()
    t.same(seen, [])
    go.open()
    await done.promise
    t.same(seen.sort(), ['after acme', 'end of ctx', 'end of other eu', 'work'])
  })

  t.test('detach after the end of a request finds no values and emits a warning; its log lines still have the request\'s fields', async (t) => {
    const seen = warnings(t, 'FST_CTX_LATE_READ')
    const [late, ended] = [gate<() => void>(), gate()]
    const { get, lines } = await setting(t, (app) => {
      app.get('/too-late', async () => {
        ctx.set('user', 'ada')
        ctx.onEnd(() => { ended.open() })
        late.open(ctx.bind(() => {
          ctx.detach(() => { t.equal(ctx.get('user'), undefined); ctx.log.info('too late') })
          ctx.after(() => { ctx.log.info('after all') })
        }))
        return 'ok'
      })
    })
    await get('/too-late')
    await ended.promise
    await turns()
    const start = await late.promise
    start()
    await turns()
    t.match(lines.one('too late'), { reqId: 'id-1', tenant: 'acme', user: 'ada' })
    t.match(lines.one('after all'), { reqId: 'id-1', user: 'ada' })
    t.match(seen, [{ message: /'user'.*\/too-late.*ctx\.detach/ }])
  })
})

t.test('after starts after the response and the onEnd callbacks, in a copy taken when it was called', async (t) => {
  const seen: string[] = []
  const done = gate()
  const { get, lines } = await setting(t, (app) => {
    app.addHook('onResponse', async () => { seen.push('onResponse') })
    app.get('/', async () => {
      ctx.set('user', 'ada')
      ctx.after(async () => { await turns(1); seen.push(`after ${ctx.get('tenant')} ${ctx.get('user')}`); ctx.log.info('after'); done.open() })
      ctx.onEnd(async () => { await turns(2); seen.push('onEnd') })
      ctx.set('user', 'later')
      return 'ok'
    })
  })
  await get()
  await done.promise
  t.same(seen, ['onResponse', 'onEnd', 'after acme ada'])
  t.match(lines.one('after'), { reqId: 'id-1', tenant: 'acme', user: 'ada' })
})

t.test('after also starts if there is no onEnd callback', async (t) => {
  const done = gate<unknown>()
  const { get } = await setting(t, (app) => {
    app.get('/', async () => { ctx.after(() => { done.open(ctx.get('tenant')) }); return 'ok' })
  })
  await get()
  t.equal(await done.promise, 'acme')
})

t.test('app.close', async (t) => {
  t.test('waits for detach, after and onEnd, before the onClose hooks of plugins registered later', async (t) => {
    const seen: string[] = []
    const [entered, answered, closing] = [gate(), gate(), gate()]
    const { app, get } = await setting(t, (app) => {
      app.addHook('onClose', async () => { seen.push('pool closed') })
      app.addHook('preClose', async () => { closing.open() })
      app.get('/', async () => {
        ctx.detach(async () => { await closing.promise; await turns(); seen.push('detached') })
        ctx.after(async () => { await turns(3); seen.push('after') })
        ctx.onEnd(async () => { await turns(); seen.push('onEnd') })
        entered.open()
        await answered.promise
        return 'ok'
      })
    })
    const answer = get()
    await entered.promise
    const closed = app.close()
    await closing.promise
    answered.open()
    await closed
    t.equal(await answer, 'ok')
    t.same(seen.splice(0, 2).sort(), ['detached', 'onEnd'])
    t.same(seen, ['after', 'pool closed'])
  })

  for (const closeTimeout of [0, 20]) {
    t.test(`waits at most closeTimeout, ${closeTimeout} ms, and logs the abandoned work`, async (t) => {
      const { app, get, lines } = await setting(t, (app) => {
        app.get('/', async () => {
          ctx.set('user', 'ada')
          ctx.detach(async function sendMail () { await gate().promise })
          ctx.detach(async () => { await gate().promise })
          return 'ok'
        })
      }, { closeTimeout })
      await get()
      ctx.detach(async function ofNoRequest () { await gate().promise })
      await app.close()
      const cut = lines.all('work was abandoned because the application closes')
      t.same(cut.map(({ work, reqId, user, level }) => [work, reqId, user, level]), [
        ['sendMail', 'id-1', 'ada', 40],
        ['an anonymous function', 'id-1', 'ada', 40],
        ['ofNoRequest', undefined, undefined, 40]
      ])
    })
  }

  t.test('a closeTimeout beyond the range of timers is no limit', async (t) => {
    const seen = warnings(t, 'TimeoutOverflowWarning')
    const [go, closing] = [gate(), gate()]
    const { app, get } = await setting(t, (app) => {
      app.addHook('preClose', async () => { closing.open() })
      app.get('/', async () => { ctx.detach(async () => { await go.promise }); return 'ok' })
    }, { closeTimeout: 1e12 })
    await get()
    const closed = app.close()
    await closing.promise
    await turns(5)
    go.open()
    await closed
    t.same(seen, [])
  })

  t.test('without a logger abandoned work is not reported', async (t) => {
    const alone = createContext({})
    const app = Fastify({ logger: false })
    await app.register(alone.plugin, { closeTimeout: 0 })
    await app.ready()
    alone.detach(async () => { await gate().promise })
    await t.resolves(app.close())
  })

  t.test('called in after, detach or onEnd does not wait for itself, but for all other work', async (t) => {
    for (const call of ['after', 'detach', 'onEnd'] as const) {
      for (const nested of [false, true]) {
        const closed = gate<number>()
        const seen: string[] = []
        const { app, lines, get } = await setting(t, (app) => {
          app.get('/', async () => {
            ctx.detach(async () => { await sleep(40); seen.push('other work') })
            const work = (): void => {
              ctx[call](async () => {
                await sleep(5)
                const from = Date.now()
                await ctx.run({ user: 'ada' }, () => app.close())
                closed.open(Date.now() - from)
              })
            }
            if (nested) ctx.run({ user: 'lin' }, work)
            else work()
            return 'ok'
          })
        }, { closeTimeout: 5_000 })
        await get()
        const took = await closed.promise
        t.ok(took < 2_000, `${call}: ${took} ms`)
        t.same(seen, ['other work'])
        await app.close()
        t.same(lines.all('work was abandoned because the application closes'), [])
      }
    }
  })

  t.test('finished jobs delay no close', async (t) => {
    const { app } = await setting(t, () => {})
    const { promise, open } = gate()
    ctx.run({}, () => { ctx.onEnd(async () => { await promise }) })
    open()
    await turns()
    await t.resolves(app.close())
  })
})

t.test('an error that cannot be logged', async (t) => {
  /** Errors that throw when they are inspected. */
  const hostile = {
    'a getter that throws': () => Object.defineProperty(new Error('hostile'), 'message', { get () { throw new Error('looked at') } }),
    'a Proxy': () => new Proxy({}, { get () { throw new Error('looked at') }, has () { throw new Error('looked at') }, ownKeys () { throw new Error('looked at') }, getPrototypeOf () { throw new Error('looked at') } })
  }
  for (const [name, make] of Object.entries(hostile)) {
    t.test(`${name}: the other callbacks run, the scope ends, and close waits for other work`, async (t) => {
      const told = unhandled(t)
      const seen: string[] = []
      const [ended, closing] = [gate(), gate()]
      const { app, get } = await setting(t, (app) => {
        app.addHook('preClose', async () => { closing.open() })
        app.get('/', async () => {
          ctx.after(() => { seen.push('after') })
          ctx.onEnd(() => { seen.push('first'); ended.open() })
          ctx.onEnd(() => { throw make() })
          ctx.onEnd(async () => { throw make() })
          ctx.detach(async () => { throw make() })
          ctx.detach(async () => { await closing.promise; await turns(); seen.push('other work') })
          return 'ok'
        })
      })
      await get()
      await ended.promise
      await turns()
      await t.resolves(app.close())
      t.same(seen, ['first', 'after', 'other work'])
      t.same(told, [])
    })
  }

  t.test('a logger stream that throws: a warning contains both errors', async (t) => {
    const seen = warnings(t, 'FST_CTX_BACKGROUND')
    const told = unhandled(t)
    const order: string[] = []
    const app: FastifyInstance = Fastify({ logger: { level: 'warn', stream: { write () { throw new Error('the disk is full') } } } })
    await app.register(ctx.plugin, { closeTimeout: 20 })
    app.get('/', async () => {
      ctx.onEnd(() => { order.push('first') })
      ctx.onEnd(() => { throw new Error('no lock') })
      ctx.detach(async function neverDone () { await gate().promise })
      return 'ok'
    })
    const { url } = await listen(t, app)
    await (await fetch(url, { headers: { connection: 'close' } })).text()
    while (order.length === 0) await turns()
    await t.resolves(app.close())
    await turns()
    t.match(seen, [
      { message: /^a callback of ctx\.onEnd failed, and its logger threw: fix the logger/, detail: /no lock[^]*the disk is full/ },
      { message: /^work was abandoned because the application closes \(neverDone\), and its logger threw/, detail: /the disk is full/ }
    ])
    t.same(told, [])
  })
})

t.test('a server that is destroyed during its requests still ends them', async (t) => {
  const [entered, ended] = [gate(), gate<unknown>()]
  const { port } = await setting(t, (app) => {
    app.get('/', async (request) => {
      ctx.onEnd(() => { ended.open(ctx.get('tenant')) })
      entered.open()
      request.raw.socket.destroy()
      await sleep(20)
      return 'nobody reads this'
    })
  })
  const socket = net.connect(port, '127.0.0.1')
  socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n')
  await Promise.all([entered.promise, ended.promise, once(socket, 'close')])
  t.equal(await ended.promise, 'acme')
})
