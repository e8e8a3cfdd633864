// The examples of @fastify/request-context's own README, unchanged, next to their versions in docs/moving.md.
import { AsyncResource } from 'node:async_hooks'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import vm from 'node:vm'
import { asyncLocalStorage, requestContext } from '@fastify/request-context'
import Fastify, { type FastifyInstance } from 'fastify'
import pino from 'pino'
import t from 'tap'
import context, { createContext, ctx, key } from '../../lib/index.ts'
import { Lines, type Tap } from '../support/support.ts'

const require = createRequire(import.meta.url)
const README = readFileSync(new URL('../../node_modules/@fastify/request-context/README.md', import.meta.url), 'utf8')
const [PLAIN, OBJECT, FUNCTION, FULL, ...MORE] = [...README.matchAll(/^```js\n(.*?)^```/gms)].map(([, code]) => code!)
const OUTSIDE = /^```\nimport .*?\n(.*?)^```/ms.exec(README)?.[1]

class MyCustomAsyncResource extends AsyncResource {
  static made: unknown[] = []

  constructor (type: string, id: string, user: string) {
    super(type)
    MyCustomAsyncResource.made.push(user)
  }
}

/** Store values under any name, as the JavaScript of the README may set them. */
const untyped = requestContext as { get (name: string): any, set (name: string, value: unknown): void, getStore (): unknown }

/** An application as an example of the README sets it up, with the name that it uses for Fastify. */
function printed (t: Tap, code = '', lines = new Lines(t)): FastifyInstance {
  const app = Fastify({ loggerInstance: pino({}, lines) }) as unknown as FastifyInstance
  t.teardown(() => app.close())
  const stub = (name: string): unknown => name === 'fastify' ? Object.assign(() => app, { register: app.register.bind(app) }) : require(name)
  if (code.includes('app.listen(')) listening.add(app)
  vm.compileFunction(code.replace('port: 3000', "port: 0, host: '127.0.0.1'"), ['require', 'MyCustomAsyncResource'])(stub, MyCustomAsyncResource)
  return app
}

/** The same after moving. */
function moved (t: Tap, setUp: (app: FastifyInstance) => unknown, lines = new Lines(t)): FastifyInstance {
  const app = Fastify({ loggerInstance: pino({}, lines) }) as unknown as FastifyInstance
  t.teardown(() => app.close())
  setUp(app)
  return app
}

/** Applications that call listen themselves. */
const listening = new WeakSet<FastifyInstance>()

async function send (app: FastifyInstance, path = '/'): Promise<Response> {
  if (!app.server.listening) await (listening.has(app) ? once(app.server, 'listening') : app.listen({ port: 0, host: '127.0.0.1' }))
  return await fetch(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}${path}`)
}

async function ask (app: FastifyInstance, path?: string): Promise<unknown> {
  return await (await send(app, path)).json()
}

t.test('README of @fastify/request-context: its examples are exactly those tested here', async (t) => {
  t.ok(PLAIN?.includes('fastify.register(fastifyRequestContext);'))
  t.ok(OBJECT?.includes("hook: 'preValidation'"))
  t.ok(FUNCTION?.includes('log: request.log.child({ foo: 123 })'))
  t.ok(FULL?.includes("app.get('/decorator'"))
  t.ok(OUTSIDE?.includes('asyncLocalStorage.run({}'))
  t.same(MORE, [])
})

t.test('plain registration, moved: a value set in a hook is read in the handler, as before', async (t) => {
  const apps = [printed(t, PLAIN), moved(t, (app) => app.register(context))]
  for (const app of apps) {
    app.addHook('onRequest', async () => { untyped.set('user', { id: 'ada' }) })
    app.get('/', async (request) => [untyped.get('user'), request.requestContext.get('user' as never), app.requestContext.get('user' as never)])
  }
  const [before, after] = await Promise.all(apps.map((app) => ask(app)))
  t.same(before, [{ id: 'ada' }, { id: 'ada' }, { id: 'ada' }])
  t.same(after, before)
})

t.test('default values as an object, in a later hook', async (t) => {
  const apps = [printed(t, OBJECT), moved(t, (app) => app.register(context, { keys: { user: () => ({ id: 'system' }) } }))]
  const early: unknown[] = []
  for (const app of apps) {
    app.addHook('onRequest', async () => { early.push(untyped.get('user')?.id) })
    app.get('/', async () => {
      const user = untyped.get('user')
      const { id } = user
      user.id += ' of an earlier request'
      return { id }
    })
  }
  const answers: unknown[] = []
  for (const app of apps) answers.push([await ask(app), await ask(app)])

  t.test('moved: the handler reads the same', async (t) => {
    t.same(answers, [[{ id: 'system' }, { id: 'system of an earlier request' }], [{ id: 'system' }, { id: 'system' }]], 'but requests do not share the object')
  })

  t.test('moved: an onRequest hook has the values, which it did not have before', async (t) => {
    t.same(early, [undefined, undefined, 'system', 'system'])
  })
})

t.test('default values from a function, one of them a logger', async (t) => {
  const own = createContext({ foo: key<number>({ seed: () => 123, log: true }) })
  const [before, after, kept] = [new Lines(t), new Lines(t), new Lines(t)]
  const apps = [
    printed(t, FUNCTION, before),
    moved(t, (app) => app.register(own.plugin), after),
    moved(t, (app) => app.register(context).after(() => {
      app.addHook('onRequest', async (request) => { untyped.set('log', request.log.child({ foo: 123 })) })
    }), kept)
  ]
  const log = [() => untyped.get('log'), () => own.log, () => untyped.get('log')]
  for (const [i, app] of apps.entries()) {
    app.get('/', async () => { log[i]!().info('deep'); return {} })
    await ask(app)
  }

  t.test('moved to a key with log: its lines have the same field', async (t) => {
    t.match([before.one('deep').foo, after.one('deep').foo], [123, 123])
  })

  t.test('kept, but set in a hook: its lines have the same field', async (t) => {
    t.equal(kept.one('deep').foo, 123)
  })

  t.test('moved under its name: refused, because request.ctx has its own log', async (t) => {
    t.throws(() => createContext({ log: key<unknown>({ seed: (request) => request.log.child({ foo: 123 }) }) } as never), { code: 'FST_CTX_INVALID_KEY' })
  })
})

t.test('the full example', async (t) => {
  const right = FULL?.replace('context.user.id', "context.get('user').id")
  const routes = (app: FastifyInstance): void => {
    app.addHook('onRequest', (request, _reply, done) => {
      request.requestContext.set('user' as never, { id: 'helloUser' } as never)
      done()
    })
    app.get('/', (request, reply) => { reply.code(200).send({ store: request.requestContext.getStore() }) })
    app.get('/decorator', function (_request, reply) {
      reply.code(200).send({ user: this.requestContext.get('user' as never) })
    })
  }

  t.test('unchanged: each request fails, because its createAsyncResource is called without a user', async (t) => {
    t.match(await ask(printed(t, FULL)), { statusCode: 500, message: /reading 'id'/ })
  })

  t.test('moved: its routes return the same, except that the store also has the request id', async (t) => {
    const before = printed(t, right)
    const after = moved(t, (app) => { app.register(context, { keys: { user: () => ({ id: 'system' }) } }); routes(app) })
    t.same(await ask(before, '/decorator'), { user: { id: 'helloUser' } })
    t.same(await ask(after, '/decorator'), { user: { id: 'helloUser' } })
    t.same(await ask(before), { store: { user: { id: 'helloUser' } } })
    const answer = await send(after)
    t.same(await answer.json(), { store: { requestId: answer.headers.get('x-request-id'), user: { id: 'helloUser' } } })
  })

  t.test('its createAsyncResource, moved into a hook: the resource is created, and later steps run in it and in the scope', async (t) => {
    MyCustomAsyncResource.made = []
    const app = moved(t, (app) => app.register(context, { keys: { user: () => ({ id: 'system' }) } }).after(() => {
      app.addHook('onRequest', (request, _reply, done) => {
        new MyCustomAsyncResource('custom-resource-type', request.id, ctx.require('user').id).runInAsyncScope(done)
      })
    }))
    app.get('/', async () => ({ user: ctx.get('user') }))
    t.same(await ask(app), { user: { id: 'system' } })
    t.same(MyCustomAsyncResource.made, ['system'])
  })
})

t.test('the example outside a request', async (t) => {
  const seen: unknown[] = []
  const code = (): void => { seen.push(untyped.get('userId'), ctx.get('userId' as never)) }
  vm.compileFunction(OUTSIDE!, ['it', 'asyncLocalStorage', 'requestContext', 'someCodeThatUsesRequestContext'])(
    (_title: string, fn: () => void) => { fn() }, asyncLocalStorage, requestContext, code)
  t.same(seen, ['some-fake-user-id', undefined], 'unchanged: only requestContext sees it')
  seen.length = 0
  ctx.run({ userId: 'some-fake-user-id' } as never, code)
  t.same(seen, ['some-fake-user-id', 'some-fake-user-id'], 'moved to ctx.run: both see it')
})

t.test('asyncLocalStorage.run in a request hides the scope from the function', async (t) => {
  const lines = new Lines(t)
  const app = moved(t, (app) => app.register(context, { keys: { tenant: { seed: () => 'acme', log: true } } }), lines)
  app.get('/', async () => asyncLocalStorage.run({ tenant: 'inner' } as never, () => {
    app.log.info('deep')
    return { by: [untyped.get('tenant'), ctx.get('tenant') ?? null] }
  }))
  t.same(await ask(app), { by: ['inner', null] })
  t.equal(lines.one('deep').tenant, undefined)
})
