import { once } from 'node:events'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import websocket from '@fastify/websocket'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import t from 'tap'
import { WebSocket } from 'ws'
import { createContext, key } from '../../../lib/index.ts'
import { gate, Lines, listen, type Tap } from '../../support/support.ts'

const ctx = createContext({ tenant: key<string>({ seed: (request) => request.headers['x-tenant'], log: true, locked: true }), user: key<string>({ log: true }) })
const REASON = { reason: 'ticket 4711', rest: true } as const
const HOOKS = ['onRequest', 'preParsing', 'preValidation', 'preHandler', 'preSerialization', 'onSend', 'onResponse'] as const

async function setting (t: Tap, build: (app: FastifyInstance) => void | Promise<void>, options = {}): Promise<{ readonly url: string, readonly lines: Lines }> {
  const lines = new Lines(t)
  const app: FastifyInstance = Fastify({ logger: { stream: lines } })
  await app.register(ctx.plugin, options)
  await build(app)
  return { url: (await listen(t, app)).url, lines }
}

const ask = async (url: string, tenant: string, init: RequestInit = {}): Promise<Response> => await fetch(url, { ...init, headers: { 'x-tenant': tenant, 'x-request-id': `of-${tenant}`, 'content-type': 'application/json' } })

const both = (request: FastifyRequest): unknown[] => [ctx.get('tenant'), (request.ctx as unknown as typeof ctx).get('tenant'), ctx.actor('tenant')]

for (const [at, kind] of HOOKS.slice(0, 4).entries()) {
  for (const how of ['async', 'callback'] as const) {
    t.test(`rest: true in an ${how} ${kind} hook applies from the next hook to the end of this request only`, async (t) => {
      const seen: Record<string, Record<string, unknown>> = { acme: {}, globex: {} }
      const { url, lines } = await setting(t, (app) => {
        const see = (place: string, request: FastifyRequest): void => { seen[String(request.headers['x-tenant'])]![place] = both(request) }
        for (const [i, name] of HOOKS.entries()) {
          app.addHook(name as 'preHandler', async (request: FastifyRequest) => { await sleep(2); see(i <= at ? `before ${name}` : name, request) })
          if (name !== kind) continue
          const impersonate = (request: FastifyRequest): void => {
            if (request.headers['x-tenant'] === 'acme') (request.ctx as unknown as typeof ctx).impersonate({ tenant: 'of the customer', user: 'customer' }, REASON)
            see('rest of the hook', request)
          }
          if (how === 'async') app.addHook(kind as 'preHandler', async (request: FastifyRequest) => { await sleep(2); impersonate(request); await sleep(2) })
          else app.addHook(kind as 'preHandler', ((request: FastifyRequest, ...rest: any[]) => { impersonate(request); setImmediate(rest.at(-1) as () => void) }) as never)
        }
        app.post('/', async (request) => {
          await sleep(5)
          see('handler', request)
          request.log.info('in the handler')
          ctx.onEnd(() => { see('onEnd', request) })
          ctx.after(async () => { see('after', request) })
          return Readable.from((function * () { see('stream', request); yield 'ok' })())
        })
      })
      const answers = await Promise.all(['acme', 'globex'].map((tenant) => ask(url, tenant, { method: 'POST', body: '{}' })))
      for (const answer of answers) t.equal(await answer.text(), 'ok')
      await sleep(50)
      const { 'rest of the hook': rest, ...places } = seen.acme!
      t.same(rest, ['acme', 'acme', 'acme'], 'the rest of the hook stays in its scope')
      for (const [place, values] of Object.entries(places)) t.same(values, place.startsWith('before') ? ['acme', 'acme', 'acme'] : ['of the customer', 'of the customer', 'acme'], place)
      for (const [place, values] of Object.entries(seen.globex!)) t.same(values, ['globex', 'globex', 'globex'], place)
      t.equal(Object.keys(places).length, Object.keys(seen.globex!).length - 1)
      for (const message of ['in the handler', 'request completed']) {
        const [acme, globex] = ['of-acme', 'of-globex'].map((id) => lines.all(message).filter(({ reqId }) => reqId === id))
        t.match(acme, [{ tenant: 'of the customer', user: 'customer', actor: { tenant: 'acme' }, reason: 'ticket 4711' }], message)
        t.match(globex, [{ tenant: 'globex', actor: undefined, reason: undefined }], message)
      }
    })
  }
}

t.test('rest: true: the error handler and its log line are in the scope, even if the hook itself fails afterwards', async (t) => {
  const { url, lines } = await setting(t, (app) => {
    app.setErrorHandler(async (error, request, reply) => { request.log.error(error, 'failed'); return await reply.code(500).send(ctx.get('tenant')) })
    app.addHook('preHandler', async (request) => {
      ctx.impersonate({ tenant: 'of the customer' }, REASON)
      if (request.url === '/hook') throw new Error('not allowed')
    })
    app.get('/hook', async () => 'never')
    app.get('/handler', async () => { throw new Error('broken') })
  })
  for (const path of ['/hook', '/handler']) t.equal(await (await ask(`${url}${path}`, 'acme')).text(), 'of the customer', path)
  t.match(lines.all('failed'), [1, 2].map(() => ({ tenant: 'of the customer', actor: { tenant: 'acme' }, reason: 'ticket 4711' })))
})

t.test('rest: true twice: the actor stays the outermost one', async (t) => {
  const { url } = await setting(t, (app) => {
    app.addHook('onRequest', async () => { ctx.impersonate({ tenant: 'first' }, REASON) })
    app.addHook('preHandler', async () => { ctx.impersonate({ tenant: 'second' }, REASON) })
    app.get('/', async (request) => both(request))
  })
  t.same(await (await ask(url, 'acme')).json(), ['second', 'second', 'acme'])
})

t.test('rest: true: a websocket that opens afterwards stays in the scope', async (t) => {
  const { url } = await setting(t, async (app) => {
    await app.register(websocket)
    app.addHook('preValidation', async () => { ctx.impersonate({ tenant: 'of the customer' }, REASON) })
    app.get('/', { websocket: true }, (socket) => { socket.on('message', () => { socket.send(`${ctx.get('tenant')} by ${ctx.actor('tenant')}`) }) })
  })
  const socket = new WebSocket(url.replace('http', 'ws'), { headers: { 'x-tenant': 'acme' } })
  await once(socket, 'open')
  await sleep(20)
  socket.send('x')
  t.equal(String((await once(socket, 'message'))[0]), 'of the customer by acme')
  socket.terminate()
})

t.test('rest: true: works in a seed, and in a hook that a timer older than the request resumes', async (t) => {
  const own = createContext({ tenant: key<string>({ seed: () => 'acme' }), role: key<string>({ seed: (): string => { own.impersonate({ tenant: 'globex' }, REASON); return 'support' } }) })
  const app = Fastify()
  const waiting: Array<() => void> = []
  const timer = setInterval(() => { for (const go of waiting.splice(0)) go() }, 5)
  t.teardown(() => { clearInterval(timer) })
  await app.register(own.plugin)
  app.addHook('preHandler', (_request, _reply, done) => { waiting.push(done) })
  app.get('/', async () => [own.get('tenant'), own.actor('tenant'), own.get('role')])
  const { url } = await listen(t, app)
  for (let i = 0; i < 2; i++) t.same(await (await fetch(url)).json(), ['globex', 'acme', 'support'])
})

t.test('rest: true ends with the request: onEnd runs once, and its values are dropped', async (t) => {
  const [over, late] = [gate(), gate<unknown>()]
  const ends: unknown[] = []
  const { url } = await setting(t, (app) => {
    app.addHook('preHandler', async () => { ctx.impersonate({ tenant: 'of the customer' }, REASON) })
    app.get('/', async () => {
      ctx.onEnd(() => { ends.push(ctx.get('tenant')) })
      over.promise.then(() => { late.open(ctx.get('tenant')) })
      return 'ok'
    })
  })
  await (await ask(url, 'acme')).text()
  await sleep(50)
  over.open()
  t.equal(await late.promise, undefined)
  t.same(ends, ['of the customer'])
  t.same(ctx.inFlight().scopes, [])
})

t.test('rest: true is refused where it cannot apply, and nothing changes', async (t) => {
  const code = 'FST_CTX_REST_REFUSED'
  const refused = (t: Tap, message: string): void => { t.throws(() => { ctx.impersonate({ tenant: 'globex' }, REASON) }, { code, message }) }

  t.test('in the handler and later, in a nested scope, in detached work', async (t) => {
    const done = gate()
    const { url } = await setting(t, (app) => {
      app.addHook('preHandler', async () => {
        await ctx.run({}, async () => { refused(t, 'nested scope') })
        ctx.impersonate({ user: 'x' }, { reason: 'r' }, () => { refused(t, 'nested scope') })
        ctx.detach(() => { refused(t, 'not that of a request'); done.open() })
      })
      app.get('/', async () => { refused(t, 'the handler has begun'); return ctx.get('tenant') })
      for (const name of ['onSend', 'onResponse'] as const) app.addHook(name as 'onResponse', async () => { refused(t, 'the handler has begun') })
    })
    t.equal(await (await ask(url, 'acme')).text(), 'acme')
    await done.promise
  })

  t.test('outside a request', async (t) => {
    ctx.run({ tenant: 'acme' }, () => { refused(t, 'not that of a request') })
    t.throws(() => { ctx.impersonate({ tenant: 'globex' }, REASON) }, { code: 'FST_CTX_NO_SCOPE' })
  })

  t.test('with reenter: false, of an application or a route', async (t) => {
    for (const [options, config] of [[{ reenter: false }, {}], [{}, { context: { reenter: false } }]] as const) {
      const { url } = await setting(t, (app) => {
        app.addHook('preHandler', async () => { refused(t, 'reenter: false') })
        app.get('/', { config }, async () => ctx.get('tenant'))
      }, options)
      t.equal(await (await ask(url, 'acme')).text(), 'acme')
    }
  })

  t.test('before another context opens its scope: the request fails', async (t) => {
    const other = createContext({ shard: key<string>({ seed: () => 's-1' }) })
    let called = 0
    const { url } = await setting(t, async (app) => {
      app.addHook('onRequest', async (request) => { if (request.url === '/acting') ctx.impersonate({ tenant: 'globex' }, REASON) })
      await app.register(other.plugin)
      for (const path of ['/acting', '/plain']) app.get(path, async () => { called++; return [ctx.get('tenant'), other.get('shard')] })
    })
    t.match(await (await ask(`${url}/acting`, 'acme')).json(), { statusCode: 500, code, message: 'another context opens its scope after it' })
    t.equal(called, 0)
    t.same(await (await ask(`${url}/plain`, 'acme')).json(), ['acme', 's-1'])
  })

  t.test('with arguments that do not fit', async (t) => {
    const { url } = await setting(t, (app) => {
      app.addHook('preHandler', async () => {
        for (const [options, fn] of [[REASON, () => {}], [{ reason: 'r' }, undefined], [{ reason: '', rest: true }, undefined], [{ reason: 'r', rest: 'yes' }, undefined], [undefined, undefined]] as const) {
          t.throws(() => { ctx.impersonate({ tenant: 'globex' }, options as never, fn as never) }, { code: 'FST_CTX_INVALID_ARGUMENT' })
        }
        t.equal(ctx.impersonate({ tenant: 'globex' }, { reason: 'r', rest: false }, () => ctx.get('tenant')), 'globex')
      })
      app.get('/', async () => ctx.get('tenant'))
    })
    t.equal(await (await ask(url, 'acme')).text(), 'acme')
  })
})

t.test('rest: true with two contexts: each can act as another user, and the other one keeps its values', async (t) => {
  const other = createContext({ shard: key<string>({ seed: () => 's-1', log: true }) })
  const { url, lines } = await setting(t, async (app) => {
    await app.register(other.plugin)
    app.addHook('preHandler', async () => { other.impersonate({ shard: 's-2' }, { reason: 'move', rest: true }) })
    app.addHook('preHandler', async () => { ctx.impersonate({ tenant: 'globex' }, REASON) })
    app.get('/', async (request) => { request.log.info('here'); return [ctx.get('tenant'), ctx.actor('tenant'), other.get('shard'), other.actor('shard')] })
  })
  t.same(await (await ask(url, 'acme')).json(), ['globex', 'acme', 's-2', 's-1'])
  t.match(lines.one('here'), { tenant: 'globex', shard: 's-2' })
})
