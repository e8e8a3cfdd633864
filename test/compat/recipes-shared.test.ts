// Shared and long-lived resources: socket.io, server-sent events, rxjs, bluebird, pg-promise, and resources created late.
import { EventEmitter, once } from 'node:events'
import http from 'node:http'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import Bluebird from 'bluebird'
import pgPromise from 'pg-promise'
import { Observable, share, firstValueFrom } from 'rxjs'
import { Server } from 'socket.io'
import { io } from 'socket.io-client'
import t from 'tap'
import { startPostgres } from '../integration/postgres-server.ts'
import { ctx } from './recipes/context.ts'
import { headersOf, OWN, TENANTS, Watch } from './recipes/watch.ts'

t.test('socket.io: one scope per message, with the tenant of the handshake', async (t) => {
  const watch = new Watch(t)
  const { app } = watch
  await app.register(ctx.plugin)

  const io_ = new Server(app.server)
  io_.on('connection', (socket) => {
    const tenant = socket.handshake.headers['x-tenant'] as string // check it against the token of the handshake
    const inScope = (fn: () => unknown): unknown => ctx.run({ tenant }, fn, { inherit: false }) // each message is a root with its own id
    socket.on('order', (name: string, answer: (text: string) => void) => inScope(async () => {
      ctx.log.info('ordered')
      await sleep(5)
      answer(`${name} for ${ctx.require('tenant')}`)
    }))
  })
  t.teardown(() => { io_.close() })

  await watch.listen()
  const sockets = TENANTS.map((tenant) => io(watch.url, { extraHeaders: headersOf(tenant), transports: ['websocket'] }))
  t.teardown(() => { for (const socket of sockets) socket.close() })
  const answers = await Promise.all(sockets.map(async (socket) => await socket.emitWithAck('order', 'tea') as string))
  t.same(answers, TENANTS.map((tenant) => `tea for ${tenant}`))
  const lines = watch.lines.all('ordered')
  t.same(lines.map(({ tenant }) => tenant).sort(), TENANTS)
  t.equal(new Set(lines.map(({ reqId }) => reqId)).size, 2, 'each message has an id')
})

t.test('server-sent events: the generator, and its listener on a shared emitter, run in the scope of the request', async (t) => {
  const watch = new Watch(t)
  const { app } = watch
  const news = new EventEmitter()
  await app.register(ctx.plugin)

  app.get('/events', async (_request, reply) => {
    const items: string[] = []
    let wake = (): void => {}
    const hear = ctx.bind((item: string) => { items.push(`${item} for ${ctx.require('tenant')}`); wake() })
    news.on('item', hear) // requests share the emitter: a bound listener keeps the scope
    ctx.onEnd(() => { news.off('item', hear) }) // also when the client disconnects
    return reply.type('text/event-stream').send(Readable.from((async function * () {
      yield ': open\n\n'
      while (!ctx.signal.aborted) {
        while (items.length > 0) yield `data: ${items.shift()!}\n\n`
        await new Promise<void>((resolve) => { wake = resolve; ctx.signal.addEventListener('abort', () => { resolve() }, { once: true }) })
      }
    })()))
  })
  app.post('/items', async () => { news.emit('item', 'tea'); return 'sent' })

  await watch.listen()
  const streams = await Promise.all(TENANTS.map(async (tenant) => {
    const request = http.get(`${watch.url}/events`, { headers: headersOf(tenant), agent: false })
    const [response] = await once(request, 'response') as [http.IncomingMessage]
    await once(response, 'data')
    return { request, response }
  }))
  const heard = Promise.all(streams.map(async ({ response }) => String((await once(response, 'data') as [Buffer])[0])))
  await watch.ask('globex', '/items', { method: 'POST' })
  t.same(await heard, TENANTS.map((tenant) => `data: tea for ${tenant}\n\n`))
  for (const { request } of streams) request.destroy()
  for (let i = 0; i < 50 && news.listenerCount('item') > 0; i++) await sleep(10)
  t.equal(news.listenerCount('item'), 0, 'a client that disconnects leaves no listener')
})

t.test('rxjs: the source of share() runs in the scope of the first subscriber; a bound subscriber keeps its own scope', async (t) => {
  const watch = new Watch(t)
  const { app } = watch
  await app.register(ctx.plugin)

  const prices = new Observable<number>((subscriber) => {
    const timer = setInterval(() => { subscriber.next(1) }, 10)
    return () => { clearInterval(timer) }
  }).pipe(share()) // one source for all requests: it runs in the scope of the first subscriber

  app.get('/prices', async (request) => {
    await watch.meet('/prices')
    return await new Promise((resolve) => {
      const subscription = prices.subscribe(ctx.bind(() => {
        watch.see('bound subscriber', request.headers['x-tenant'])
        subscription.unsubscribe()
        resolve(ctx.get('tenant'))
      }))
    })
  })
  app.get('/unbound', async (request) => {
    await watch.meet('/unbound')
    await new Promise<void>((resolve) => {
      const subscription = prices.subscribe(() => { watch.see('unbound subscriber', request.headers['x-tenant']); subscription.unsubscribe(); resolve() })
    })
    watch.see('after an await', request.headers['x-tenant'])
    return await firstValueFrom(prices)
  })

  await watch.listen()
  t.same(await watch.askBoth('/prices'), TENANTS)
  await watch.askBoth('/unbound')
  t.same(watch.told(), { 'bound subscriber': 'held', 'unbound subscriber': 'swapped', 'after an await': 'held' })
})

t.test('bluebird: its callbacks run in the scope of the code that scheduled its queue; await and bind keep their own', async (t) => {
  const watch = new Watch(t)
  const { app } = watch
  await app.register(ctx.plugin)
  const results: Array<() => void> = []

  const load = async (id: string): Promise<string> => await new Bluebird<string>((resolve) => { // awaited: code after the await runs in its own scope
    results.push(() => { resolve(id) })
  })
  app.get('/load', async (request) => {
    const loading = load('tea')
    await watch.meet('/load')
    if (request.headers['x-tenant'] === 'globex') for (const result of results.splice(0)) result() // one request answers both
    await loading
    watch.see('after an await', request.headers['x-tenant'])
    return ctx.get('tenant')
  })

  app.get('/then', async (request) => await new Promise((resolve) => {
    const promise = new Bluebird<void>((resolve) => { results.push(resolve) })
    promise.then(() => { watch.see('then', request.headers['x-tenant']) })
    promise.then(ctx.bind(() => { watch.see('bound then', request.headers['x-tenant']); resolve('seen') }))
    if (results.length === TENANTS.length) for (const result of results.splice(0)) result()
  }))
  await watch.listen()
  t.same(await watch.askBoth('/load'), TENANTS)
  await watch.askBoth('/then')
  t.match(watch.told(), { 'after an await': 'held', 'bound then': 'held' })
  t.not(watch.told().then, 'held', 'a callback of bluebird that is not bound')
})

t.test('pg-promise, with one connection for two requests: code after an await runs in its own scope; an event of the library may not', async (t) => {
  const { host, port } = await startPostgres(t)
  const watch = new Watch(t)
  const { app } = watch
  const queries: Array<[query: unknown, tenant: string | undefined]> = []
  await app.register(ctx.plugin)

  const pgp = pgPromise({
    query: (event) => { queries.push([event.query, ctx.get('tenant')]) } // may run in the scope of another request
  })
  const db = pgp({ host, port, user: 'postgres', database: 'postgres', max: 1 })
  t.teardown(() => { pgp.end() })
  const rows = async (text: string) => {
    const found = await db.any(text)
    return [ctx.require('tenant'), found] // after an await: its own scope
  }

  app.get('/', async () => {
    await watch.meet('/')
    return await rows(`select '${ctx.require('tenant')}' as tenant`)
  })
  await watch.listen()
  const answers = (await watch.askBoth('/')).map((text) => JSON.parse(text) as unknown)
  t.same(answers, TENANTS.map((tenant) => [tenant, [{ tenant }]]))
  t.same(queries.map(([query]) => query).sort(), TENANTS.map((tenant) => `select '${tenant}' as tenant`))
})

t.test('a pool, a subscriber or a timer created late keeps the scope of the first request forever, unless it is created outside', async (t) => {
  const watch = new Watch(t)
  const { app } = watch
  await app.register(ctx.plugin)

  let feed: { ticks: number, stop: () => void } | undefined
  const startFeed = (): NonNullable<typeof feed> => {
    const own = { ticks: 0, stop: () => { clearInterval(timer) } }
    const timer = setInterval(() => { own.ticks++; app.log.info('tick') }, 5)
    return own
  }
  const getFeed = () => (feed ??= ctx.exit(startFeed)) // created outside every scope: its lines name no tenant
  app.get('/', async () => { getFeed(); return ctx.get('tenant') })

  await watch.listen()
  t.same(await watch.askBoth('/'), TENANTS)
  await watch.lines.until('tick', 3)
  feed!.stop()
  t.same(watch.lines.all('tick').filter(({ tenant }) => tenant !== undefined), [], 'no tenant on its lines')
  t.same(await watch.completed(), OWN)
  const naive = await new Promise<NonNullable<typeof feed>>((resolve) => { ctx.run({ tenant: 'acme' }, () => { resolve(startFeed()) }) })
  watch.lines.raw = []
  await watch.lines.until('tick', 2)
  naive.stop()
  t.same([...new Set(watch.lines.all('tick').map(({ tenant }) => tenant))], ['acme'], 'created in a request, its lines have that tenant')
})
