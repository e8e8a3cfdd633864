import { once } from 'node:events'
import net from 'node:net'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import t from 'tap'
import { createContext, key, type OwnContext } from '../../../lib/index.ts'
import { gate, Lines, listen, turns, type Tap } from '../../support/support.ts'

interface Setting { readonly lines: Lines, readonly app: FastifyInstance, readonly url: string, readonly port: number, readonly get: (path?: string) => Promise<Response> }

/** An application with one context, listening on a socket. */
async function setting (t: Tap, ctx: Pick<OwnContext<object>, 'plugin'>, routes: (app: FastifyInstance) => void, options: FastifyServerOptions = {}): Promise<Setting> {
  const lines = new Lines(t)
  const app: FastifyInstance = Fastify({ logger: { stream: lines }, ...options })
  await app.register(ctx.plugin)
  routes(app)
  const { url, port } = await listen(t, app)
  return { lines, app, url, port, get: (path = '/') => fetch(url + path, { headers: { 'x-request-id': 'id-1', 'x-tenant-id': 'acme' } }) }
}

t.test('seeds', async (t) => {
  t.test('sync and async seeds run in key order, inside the scope, and can read earlier keys', async (t) => {
    const order: unknown[] = []
    const value = (name: 'requestId' | 'a' | 'b' | 'c'): string | undefined => ctx.get(name)
    const read = (name: string): void => { order.push([name, value('requestId'), value('a'), value('b'), value('c')]) }
    const ctx = createContext({
      a: key<string>({ seed: (request) => { read('a'); return request.headers['x-tenant-id'] } }),
      b: key<string>({ seed: async () => { await turns(1); read('b'); return 'B' } }),
      c: key<string>({ seed: () => { read('c'); return `${value('a')}+${value('b')}` } }),
      d: key<string>({ seed: async () => { read('d'); return `${value('c')}!` } }),
      last: key<string>()
    })
    const { get } = await setting(t, ctx, (app) => {
      app.get('/', async () => ({ a: ctx.get('a'), b: ctx.get('b'), c: ctx.get('c'), d: ctx.get('d'), last: ctx.has('last') }))
    })
    t.same(await (await get()).json(), { a: 'acme', b: 'B', c: 'acme+B', d: 'acme+B!', last: false })
    t.same(order, [
      ['a', 'id-1', undefined, undefined, undefined],
      ['b', 'id-1', 'acme', undefined, undefined],
      ['c', 'id-1', 'acme', 'B', undefined],
      ['d', 'id-1', 'acme', 'B', 'acme+B']
    ])
  })

  t.test('a seed that returns undefined leaves the key unset; null, false and 0 are values', async (t) => {
    const ctx = createContext({
      none: key<string>({ seed: () => undefined }),
      later: key<string>({ seed: async () => undefined }),
      nothing: key<null>({ seed: () => null }),
      no: key<boolean>({ seed: async () => false }),
      zero: key<number>({ seed: () => 0 })
    })
    const { get } = await setting(t, ctx, (app) => {
      app.get('/', async () => [ctx.has('none'), ctx.has('later'), ctx.get('nothing'), ctx.get('no'), ctx.get('zero')])
    })
    t.same(await (await get()).json(), [false, false, null, false, 0])
  })

  t.test('a thenable that is not a promise is awaited', async (t) => {
    const thenable = { then: (resolve: (value: string) => void) => { resolve('late') } }
    const ctx = createContext({ a: key<string>({ seed: () => thenable as unknown as Promise<string> }) })
    const { get } = await setting(t, ctx, (app) => { app.get('/', async () => ctx.get('a')) })
    t.equal(await (await get()).text(), 'late')
  })

  t.test('seeds run before hooks that were added later, also for a 404', async (t) => {
    const ctx = createContext({ tenant: key<string>({ seed: async (request) => request.headers['x-tenant-id'] }) })
    const seen: unknown[] = []
    const { get } = await setting(t, ctx, (app) => {
      app.addHook('onRequest', (_request, _reply, done) => {
        seen.push(ctx.get('tenant'))
        done()
      })
      app.setNotFoundHandler(async () => ({ tenant: ctx.get('tenant') }))
    })
    t.same(await (await get('/nowhere')).json(), { tenant: 'acme' })
    t.same(seen, ['acme'])
  })
})

const WITHOUT_ERROR = "the seed of key 'tenant' threw or rejected without an error: throw an Error, optionally with a statusCode for the response"

t.test('a seed that fails makes the request fail', async (t) => {
  const failures: Record<string, [() => string | Promise<string>, number, string]> = {
    'throws an error': [() => { throw new Error('no tenant') }, 500, 'no tenant'],
    'rejects with an error': [async () => { throw new Error('no tenant') }, 500, 'no tenant'],
    'throws one with a statusCode': [() => { throw Object.assign(new Error('unknown tenant'), { statusCode: 403 }) }, 403, 'unknown tenant'],
    'rejects with one with a statusCode': [async () => { throw Object.assign(new Error('unknown tenant'), { statusCode: 403 }) }, 403, 'unknown tenant'],
    // eslint-disable-next-line no-throw-literal -- the test covers a seed that throws a non-error
    'throws undefined': [() => { throw undefined }, 500, WITHOUT_ERROR],
    // eslint-disable-next-line prefer-promise-reject-errors -- the test covers a seed that rejects with a non-error
    'rejects with undefined': [() => Promise.reject(), 500, WITHOUT_ERROR]
  }
  for (const [what, [seed, status, message]] of Object.entries(failures)) {
    t.test(`a seed that ${what}: Fastify logs and answers with the request id, later seeds and the handler do not run, and the scope ends`, async (t) => {
      let ran = false
      let read!: () => unknown
      const seen: unknown[] = []
      const ctx = createContext({
        plan: key<object>({ seed: () => ({ free: true }), log: true }),
        tenant: key<string>({ seed }),
        user: key<string>({ seed: () => { ran = true; return 'ada' } })
      })
      const { get, lines } = await setting(t, ctx, (app) => {
        app.addHook('onError', async () => { seen.push(ctx.get('requestId')) })
        app.addHook('onResponse', async () => {
          seen.push(ctx.get('plan'))
          read = ctx.bind(() => [ctx.has('plan'), ctx.has('requestId')])
        })
        app.get('/', async () => { ran = true })
      })
      const answer = await get()
      t.equal(answer.status, status)
      t.equal((await answer.json() as { message: string }).message, message)
      t.equal(answer.headers.get('x-request-id'), 'id-1')
      await lines.until('request completed')
      await turns()
      t.equal(ran, false)
      t.same(seen, ['id-1', { free: true }])
      t.match(lines.one(message), { reqId: 'id-1', plan: { free: true }, err: { message } })
      t.match(lines.one('request completed'), { reqId: 'id-1', res: { statusCode: status } })
      t.same(read(), [false, false])
    })
  }

  t.test('the error handler runs in the scope and gets the error; a non-error is its cause', async (t) => {
    const ctx = createContext({ tenant: key<string>({ seed: () => Promise.reject(null) }) }) // eslint-disable-line prefer-promise-reject-errors -- Fastify treats this as success, which the test covers
    const { get } = await setting(t, ctx, (app) => {
      app.setErrorHandler(async (error: Error & { code: string }) => ({ code: error.code, cause: error.cause, id: ctx.get('requestId') }))
      app.get('/', async () => 'ok')
    })
    t.same(await (await get()).json(), { code: 'FST_CTX_SEED_FAILED', cause: null, id: 'id-1' })
  })

  t.test('the request after a failed seed works normally', async (t) => {
    let fails = true
    const ctx = createContext({ tenant: key<string>({ seed: async () => { if (fails) throw new Error('down'); return 'acme' } }) })
    const { get } = await setting(t, ctx, (app) => { app.get('/', async () => ctx.get('tenant')) })
    t.equal((await get()).status, 500)
    fails = false
    t.equal(await (await get()).text(), 'acme')
  })
})

t.test('if the client leaves during a slow seed, later seeds and the handler run with all values before the scope ends', async (t) => {
  const started = gate()
  const slow = gate()
  const over = gate()
  const seen: unknown[] = []
  const ctx = createContext({
    plan: key<string>({ seed: () => 'free' }),
    tenant: key<string>({ seed: async () => { started.open(); await slow.promise; return 'acme' } }),
    last: key<string>({ seed: () => 'x' })
  })
  const { port } = await setting(t, ctx, (app) => {
    app.addHook('onRequestAbort', async (_request) => { over.open() })
    app.get('/', async () => {
      ctx.onEnd(() => { seen.push('end') })
      await turns()
      seen.push([ctx.get('plan'), ctx.get('tenant'), ctx.get('last'), ctx.signal.aborted])
    })
  })
  const socket = net.connect(port, '127.0.0.1')
  socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n')
  await started.promise
  socket.destroy()
  await once(socket, 'close')
  await over.promise
  await turns()
  slow.open()
  await turns(10)
  t.same(seen, [['free', 'acme', 'x', true], 'end'])
})

t.test('a nested inject opens its own root and does not change the scope of its caller', async (t) => {
  const ctx = createContext({ tenant: key<string>({ seed: (request) => request.headers['x-tenant-id'] }), user: key<string>() })
  const { get } = await setting(t, ctx, (app) => {
    app.get('/inner', async () => ({ tenant: ctx.get('tenant') ?? null, user: ctx.get('user') ?? null, id: ctx.get('requestId') }))
    app.get('/', async () => {
      ctx.set('user', 'ada')
      const inner = (await app.inject({ url: '/inner', headers: { 'x-request-id': 'inner' } })).json() as unknown
      return { inner, after: [ctx.get('tenant'), ctx.get('user'), ctx.get('requestId')] }
    })
  })
  t.same(await (await get()).json(), { inner: { tenant: null, user: null, id: 'inner' }, after: ['acme', 'ada', 'id-1'] })
})

t.test('the caller of inject is outside the scope, before and after', async (t) => {
  const ctx = createContext({ tenant: key<string>({ seed: () => 'acme' }) })
  const { app } = await setting(t, ctx, (app) => { app.get('/', async () => ctx.get('tenant')) })
  t.equal((await app.inject('/')).body, 'acme')
  t.equal(ctx.get('tenant'), undefined)
  const within = await ctx.run({ tenant: 'outer' }, async () => [(await app.inject('/')).body, ctx.get('tenant')])
  t.same(within, ['acme', 'outer'])
})

t.test('consecutive requests on one socket have separate scopes', async (t) => {
  const ctx = createContext({ tenant: key<string>({ seed: (request) => request.headers['x-tenant-id'] }), user: key<string>() })
  const early: unknown[] = []
  const lines = new Lines(t)
  const app = Fastify({ logger: { stream: lines } })
  app.addHook('onRequest', async () => { early.push(ctx.get('tenant')) })
  await app.register(ctx.plugin)
  app.get('/', async () => {
    const before = ctx.has('user')
    ctx.set('user', 'ada')
    return `${ctx.get('tenant')} ${before}`
  })
  const { port } = await listen(t, app)
  const socket = net.connect(port, '127.0.0.1')
  t.teardown(() => { socket.destroy() })
  let text = ''
  socket.on('data', (part: Buffer) => { text += part.toString() })
  for (const [i, tenant] of ['A', 'B', 'C'].entries()) {
    socket.write(`GET / HTTP/1.1\r\nhost: x\r\nx-tenant-id: ${tenant}\r\n\r\n`)
    await lines.until('request completed', i + 1)
    while (!text.includes(`${tenant} `)) await once(socket, 'data')
  }
  t.same(text.match(/^[ABC] (?:true|false)/gm), ['A false', 'B false', 'C false'])
  t.same(early, [undefined, undefined, undefined], 'a hook before ours sees nothing of the previous request')
})

t.test('an id set by a hook before the plugin is checked, and replaced if it is unsafe', async (t) => {
  const ctx = createContext({})
  const app = Fastify()
  app.addHook('onRequest', async (request) => { request.id = request.headers['x-as'] as string + (request.headers['x-unsafe'] === undefined ? '' : '\n') })
  await app.register(ctx.plugin)
  app.get('/', async (request) => [request.id, ctx.get('requestId')])
  const { url } = await listen(t, app)
  t.same(await (await fetch(url, { headers: { 'x-as': 'chosen' } })).json(), ['chosen', 'chosen'])
  const warned = once(process, 'warning')
  const response = await fetch(url, { headers: { 'x-as': 'chosen', 'x-unsafe': '1' } })
  const [id, own] = await response.json() as string[]
  t.match(id, /^[\da-f-]{36}$/)
  t.equal(own, id)
  t.equal(response.headers.get('x-request-id'), id)
  t.equal((await warned)[0].code, 'FST_CTX_REQUEST_ID')
})
