// @fastify/websocket: the scope lasts as long as the socket, and listeners on shared emitters are bound.
import { EventEmitter, once } from 'node:events'
import websocket from '@fastify/websocket'
import t from 'tap'
import { WebSocket } from 'ws'
import type { Tap } from '../support/support.ts'
import { ctx } from './recipes/context.ts'
import { headersOf, TENANTS, Watch } from './recipes/watch.ts'

async function connect (t: Tap, watch: Watch, path: string): Promise<WebSocket[]> {
  const sockets = TENANTS.map((tenant) => new WebSocket(`${watch.url.replace('http', 'ws')}${path}`, { headers: headersOf(tenant) }))
  t.teardown(() => { for (const socket of sockets) socket.terminate() })
  await Promise.all(sockets.map((socket) => once(socket, 'open')))
  return sockets
}

const messages = async (sockets: readonly WebSocket[]): Promise<string[]> => await Promise.all(sockets.map(async (socket) => String((await once(socket, 'message'))[0])))

t.test('listeners of the socket, and a bound listener on a shared emitter, see their own tenant while it is open', async (t) => {
  const watch = new Watch(t)
  const { app } = watch
  const news = new EventEmitter()
  const see = (place: string, whose: string): void => { watch.see(place, whose) }
  await app.register(ctx.plugin)

  await app.register(websocket)
  app.get('/news', { websocket: true }, (socket) => {
    socket.on('message', (message) => {
      ctx.log.info({ message: String(message) }, 'received')
      socket.send(`received by ${ctx.require('tenant')}`)
    })
    const tell = ctx.bind((item: string) => { socket.send(`${item} for ${ctx.require('tenant')}`) })
    news.on('item', tell) // all sockets share this emitter: without bind, the listener runs in the scope of the code that emits
    socket.on('close', () => { news.off('item', tell) })
  })

  app.get('/looked-at', { websocket: true }, (socket, { headers }) => {
    const whose = String(headers['x-tenant'])
    const unbound = (): void => { see('unbound listener', whose) }
    const bound = ctx.bind(() => { see('bound listener', whose) })
    news.on('item', unbound).on('item', bound)
    for (const event of ['message', 'ping', 'close'] as const) socket.on(event, () => { see(`'${event}'`, whose) })
    socket.on('close', () => { news.off('item', unbound).off('item', bound) })
  })
  app.post('/items', async ({ headers }) => {
    news.emit('item', `item of ${headers['x-tenant'] as string}`)
    return 'told'
  })
  await watch.listen()

  const sockets = await connect(t, watch, '/news')
  for (const socket of sockets) socket.send('hello')
  t.same(await messages(sockets), TENANTS.map((tenant) => `received by ${tenant}`))
  t.same(watch.lines.all('received').map(({ tenant, reqId }) => [tenant, reqId]).sort(), TENANTS.map((tenant) => [tenant, `id-${tenant}`]))
  const told = messages(sockets)
  await watch.ask('globex', '/items', { method: 'POST' })
  t.same(await told, TENANTS.map((tenant) => `item of globex for ${tenant}`))

  const looked = await connect(t, watch, '/looked-at')
  await watch.ask('globex', '/items', { method: 'POST' })
  t.same(watch.told(), { 'unbound listener': 'swapped', 'bound listener': 'held' }, 'the publisher\'s tenant is not the listener\'s')
  for (const socket of looked) {
    socket.send('hello')
    socket.ping()
    await once(socket, 'pong')
    socket.close()
    await once(socket, 'close')
  }
  for (const socket of sockets) {
    socket.close()
    await once(socket, 'close')
  }
  await app.close()
  t.match(watch.told(), { "'message'": 'held', "'ping'": 'held', "'close'": 'held' })
  t.equal(news.listenerCount('item'), 0)
})

t.test('an unbound listener of an event from outside all requests has no tenant', async (t) => {
  const watch = new Watch(t)
  const { app } = watch
  const news = new EventEmitter()
  await app.register(ctx.plugin)
  await app.register(websocket)
  app.get('/news', { websocket: true }, (socket, { headers }) => {
    news.on('item', () => { watch.see('unbound', headers['x-tenant']) })
    news.on('item', ctx.bind(() => { watch.see('bound', headers['x-tenant']) }))
    socket.send('ready')
  })
  await watch.listen()
  const sockets = TENANTS.map((tenant) => new WebSocket(`${watch.url.replace('http', 'ws')}/news`, { headers: headersOf(tenant) }))
  await messages(sockets)
  news.emit('item')
  t.same(watch.told(), { unbound: 'lost', bound: 'held' })
  for (const socket of sockets) socket.terminate()
})

t.test('an id for each message: on its lines, next to the id of the connection', async (t) => {
  const watch = new Watch(t)
  const { app } = watch
  await app.register(ctx.plugin)
  await app.register(websocket)
  app.get('/', { websocket: true }, (socket) => {
    socket.on('message', (message) => {
      ctx.run({}, async () => {
        await new Promise((resolve) => { setTimeout(resolve, 20) })
        ctx.log.info('handled')
        socket.send(String(ctx.messageId))
      }, { messageId: String(message) })
    })
  })
  await watch.listen()
  const sockets = await connect(t, watch, '/')
  const ids = ['m-1', 'not safe']
  const answers = sockets.map(async (socket) => {
    const answered: string[] = []
    const all = new Promise<string[]>((resolve) => { socket.on('message', (data) => { if (answered.push(String(data)) === ids.length) resolve(answered) }) })
    for (const id of ids) socket.send(id)
    return await all
  })
  const [acme, globex] = await Promise.all(answers)
  for (const given of [acme!, globex!]) {
    t.equal(given[0], 'm-1')
    t.match(given[1], /^[\da-f-]{36}$/)
  }
  const seen = watch.lines.all('handled').map(({ reqId, tenant, messageId }) => [reqId, tenant, messageId])
  t.same(seen.sort(), TENANTS.flatMap((tenant, i) => [acme!, globex!][i]!.map((id) => [`id-${tenant}`, tenant, id])).sort())
})

t.test('one scope per message: a value set for one message is not there for the next', async (t) => {
  const watch = new Watch(t)
  const { app } = watch
  await app.register(ctx.plugin)
  await app.register(websocket)
  app.get('/', { websocket: true }, (socket) => {
    socket.on('message', (message) => {
      ctx.run({}, () => {
        const before = ctx.get('user')?.id
        ctx.set('user', { id: String(message) })
        socket.send(`${before} then ${ctx.get('user')?.id} of ${ctx.get('tenant')}`)
      })
    })
  })
  await watch.listen()
  const sockets = await connect(t, watch, '/')
  for (const name of ['ada', 'bob']) {
    for (const socket of sockets) socket.send(name)
    t.same(await messages(sockets), TENANTS.map((tenant) => `undefined then ${name} of ${tenant}`))
  }
})
