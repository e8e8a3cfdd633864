import Fastify, { type FastifyInstance, type RouteOptions } from 'fastify'
import t from 'tap'
import context, { createContext, key } from '../../../lib/index.ts'
import { gate, listen, type Tap } from '../../support/support.ts'

const ctx = createContext({
  tenant: key<string>({ seed: (request) => request.headers['x-tenant-id'] }),
  user: key<{ readonly id: string }>({ missing: 401 })
})

/** Declares what a route requires, for a second context. */
function required (...names: string[]): { config: { context: { require: never[] } } } {
  return { config: { context: { require: names as never[] } } }
}

async function setting (t: Tap, routes: (app: FastifyInstance) => void): Promise<{ readonly app: FastifyInstance, readonly url: string }> {
  const app: FastifyInstance = Fastify()
  await app.register(ctx.plugin)
  routes(app)
  return { app, ...await listen(t, app) }
}

const MISSING_TENANT = { statusCode: 400, code: 'FST_CTX_MISSING', error: 'Bad Request', message: "'tenant' is required" }
const MISSING_USER = { statusCode: 401, code: 'FST_CTX_MISSING', error: 'Unauthorized', message: "'user' is required" }

t.test('a required key that is not set fails the request with its status, on a socket and with inject', async (t) => {
  const { app, url } = await setting(t, (app) => {
    app.addHook('preHandler', async (request) => { if (request.headers.authorization !== undefined) ctx.set('user', { id: 'ada' }) })
    app.get('/', required('tenant', 'user'), async () => `${ctx.require('tenant')} ${ctx.require('user').id} ${ctx.require('requestId') === '' ? '' : 'id'}`)
  })
  for (const [headers, status, body] of [
    [{}, 400, MISSING_TENANT],
    [{ authorization: 's3cret' }, 400, MISSING_TENANT],
    [{ 'x-tenant-id': 'acme' }, 401, MISSING_USER]
  ] as const) {
    const answer = await fetch(url, { headers })
    t.equal(answer.status, status)
    t.match(answer.headers.get('content-type'), /^application\/json/)
    t.same(await answer.json(), body)
    const injected = await app.inject({ url: '/', headers })
    t.equal(injected.statusCode, status)
    t.same(injected.json(), body)
  }
  const headers = { 'x-tenant-id': 'acme', authorization: 's3cret' }
  t.equal(await (await fetch(url, { headers })).text(), 'acme ada id')
  t.equal((await app.inject({ url: '/', headers })).body, 'acme ada id')
})

t.test('required keys are checked after all preHandler hooks of every level and before the handler', async (t) => {
  const order: string[] = []
  const { url } = await setting(t, (app) => {
    app.addHook('preHandler', async () => { order.push('instance') })
    // A plugin that authenticates and is registered later.
    app.addHook('onRoute', (route) => {
      route.preHandler = [...[route.preHandler ?? []].flat(), async (request: { readonly url: string }) => { order.push('onRoute'); if (request.url === '/in') ctx.set('user', { id: 'ada' }) }]
    })
    for (const path of ['/in', '/out']) {
      app.get(path, { ...required('user'), preHandler: async () => { order.push('route') } }, async () => { order.push('handler'); return 'ok' })
    }
    app.addHook('preHandler', async () => { order.push('instance, added later') })
  })
  t.equal((await fetch(`${url}/in`)).status, 200)
  t.same(order.splice(0), ['instance', 'instance, added later', 'route', 'onRoute', 'handler'])
  for (let i = 0; i < 2; i++) {
    t.equal((await fetch(`${url}/out`)).status, 401)
    t.same(order.splice(0), ['instance', 'instance, added later', 'route', 'onRoute'])
  }
})

t.test('required keys are checked on routes without a preHandler and on routes added before the plugin', async (t) => {
  const own = createContext({ user: key<string>({ missing: 403 }) })
  const app = Fastify()
  app.register(own.plugin)
  app.get('/before', required('user'), async () => 'ok')
  app.register(async (child) => { child.get('/child', required('user'), async () => 'ok') })
  const { url } = await listen(t, app)
  for (const path of ['/before', '/child']) t.equal((await fetch(url + path)).status, 403, path)
})

t.test('of two concurrent requests, one with the keys and one without, each gets its own answer', async (t) => {
  const [both, go] = [gate(), gate()]
  let entered = 0
  const { url } = await setting(t, (app) => {
    app.addHook('preHandler', async () => {
      if (++entered === 2) both.open()
      await go.promise
    })
    app.get('/', required('tenant'), async () => ctx.get('tenant'))
  })
  const answers = [fetch(url), fetch(url, { headers: { 'x-tenant-id': 'acme' } })]
  await both.promise
  go.open()
  const [without, having] = await Promise.all(answers)
  t.equal(without!.status, 400)
  t.equal(await having!.text(), 'acme')
})

t.test('a missing required key calls the error handler and the onError hooks with the error', async (t) => {
  const seen: unknown[] = []
  const { url } = await setting(t, (app) => {
    app.setErrorHandler(async (error: { code: string, statusCode: number }, _request, reply) => {
      seen.push([error.code, error.statusCode])
      return reply.code(418).send('teapot')
    })
    app.get('/', required('user'), async () => 'ok')
  })
  const answer = await fetch(url)
  t.equal(answer.status, 418)
  t.same(seen, [['FST_CTX_MISSING', 401]])
})

t.test('HEAD of a GET route requires the same keys, a 404 requires none', async (t) => {
  const { url } = await setting(t, (app) => {
    app.get('/', required('tenant'), async (_request, reply) => { if (ctx.get('tenant') === 'gone') reply.callNotFound(); else return 'ok' })
  })
  t.equal((await fetch(url, { method: 'HEAD' })).status, 400)
  t.equal((await fetch(url, { method: 'HEAD', headers: { 'x-tenant-id': 'acme' } })).status, 200)
  t.equal((await fetch(`${url}/unknown`)).status, 404)
})

t.test('required keys: an empty string and null are missing, false and 0 are values, requestId is always present, an empty list requires nothing', async (t) => {
  const own = createContext({
    tenant: key<string>({ seed: (request) => request.headers['x-tenant-id'] }),
    nothing: key<null>({ seed: () => null }),
    no: key<boolean>({ seed: () => false }),
    none: key<number>({ seed: () => 0 })
  })
  const app = Fastify()
  await app.register(own.plugin)
  app.get('/', required('no', 'none', 'requestId'), async () => 'ok')
  app.get('/null', required('nothing'), async () => t.fail('called'))
  app.get('/empty', required('tenant'), async () => t.fail('called'))
  app.get('/none', required(), async () => 'ok')
  app.get('/other', { config: { context: {} } }, async () => 'ok')
  const { url } = await listen(t, app)
  for (const path of ['/', '/none', '/other']) t.equal((await fetch(url + path)).status, 200, path)
  t.equal((await fetch(`${url}/null`)).status, 400)
  t.equal((await fetch(`${url}/empty`, { headers: { 'x-tenant-id': '' } })).status, 400)
})

t.test('the ready-made context requires the keys that its registration declares', async (t) => {
  const app = Fastify()
  await app.register(context, { keys: { user: { missing: 401 } } })
  app.get('/', { config: { context: { require: ['user'] } } }, async (request) => request.ctx.require('user'))
  t.throws(() => { app.get('/other', { config: { context: { require: ['tenant'] } } }, async () => 'ok') }, { code: 'FST_CTX_INVALID_OPTION', message: /\/other.*'tenant'/ })
  const { url } = await listen(t, app)
  t.same(await (await fetch(url)).json(), MISSING_USER)
})

t.test('an unknown required key, or a value that is not a list, fails at start-up and names the route', async (t) => {
  for (const wrong of [['usr'], ['tenant', 7], [undefined], ['toString'], 'tenant', { tenant: true }]) {
    const app = Fastify()
    await app.register(ctx.plugin)
    t.throws(() => { app.get('/notes', { config: { context: { require: wrong as never } } }, async () => 'ok') }, { code: 'FST_CTX_INVALID_OPTION', message: /\/notes/ }, JSON.stringify(wrong))

    const later = Fastify()
    later.register(ctx.plugin)
    later.register(async (child) => { child.get('/notes', { config: { context: { require: wrong as never } } }, async () => 'ok') })
    await t.rejects(async () => { await later.ready() }, { code: 'FST_CTX_INVALID_OPTION' })
  }
})

t.test('an invalid requirement of a route added before the plugin fails each request with a server error', async (t) => {
  for (const [wrong, said] of [
    [['tenant', 'tenent'], "option 'config.context.require' of /notes/:id names 'tenent', which is not a key: the keys are 'requestId', 'tenant', 'user'"],
    [[undefined], "option 'config.context.require' of /notes/:id names 'undefined', which is not a key: the keys are 'requestId', 'tenant', 'user'"],
    ['tenant', "option 'config.context.require' of /notes/:id takes a list of keys: ['tenant']"],
    [7, "option 'config.context.require' of /notes/:id takes a list of keys: ['tenant']"]
  ] as const) {
    const app = Fastify()
    app.get('/notes/:id', { config: { context: { require: wrong as never } } }, async () => t.fail('called'))
    app.get('/right', required('tenant'), async () => 'ok')
    await app.register(ctx.plugin)
    const { url } = await listen(t, app)
    for (const headers of [{}, { 'x-tenant-id': 'acme' }, {}]) {
      const answer = await fetch(`${url}/notes/7`, { headers })
      t.same(await answer.json(), { statusCode: 500, code: 'FST_CTX_INVALID_OPTION', error: 'Internal Server Error', message: said })
    }
    t.equal((await fetch(`${url}/right`)).status, 400, 'other routes are not affected')
    t.equal((await fetch(`${url}/right`, { headers: { 'x-tenant-id': 'acme' } })).status, 200)
  }
})

t.test('an unknown config.context option fails at start-up, because it would leave the route unprotected', async (t) => {
  for (const [context, message] of [
    [{ requires: ['user'] }, /'config\.context\.requires' of \/notes does not exist/],
    [['user'], /'config\.context' of \/notes takes an object/],
    ['user', /'config\.context' of \/notes takes an object/],
    [null, /'config\.context' of \/notes takes an object/],
    [true, /'config\.context' of \/notes takes an object/]
  ] as const) {
    const app = Fastify()
    await app.register(ctx.plugin)
    t.throws(() => { app.get('/notes', { config: { context: context as never } }, async () => 'ok') }, { code: 'FST_CTX_INVALID_OPTION', message })

    const early: FastifyInstance = Fastify()
    early.register(ctx.plugin)
    early.get('/notes', { config: { context: context as never } }, async () => t.fail('called'))
    const { url } = await listen(t, early)
    t.match(await (await fetch(`${url}/notes`)).json(), { statusCode: 500, code: 'FST_CTX_INVALID_OPTION', message }, 'of a route added before the plugin')
  }
})

t.test('a requirement that a later onRoute hook adds is enforced', async (t) => {
  const secured = { require: ['user'] as never[] }
  const { app, url } = await setting(t, (app) => {
    app.addHook('onRoute', (route) => { if (route.url !== '/open') route.config = { ...route.config, context: secured } })
    app.get('/', async () => t.fail('called'))
    app.get('/open', async () => 'ok')
  })
  t.equal((await fetch(url)).status, 401)
  t.equal((await fetch(`${url}/open`)).status, 200)
  t.equal((await app.inject({ method: 'HEAD', url: '/' })).statusCode, 401)

  const wrong = Fastify()
  await wrong.register(ctx.plugin)
  wrong.addHook('onRoute', (route) => { route.config = { context: { require: ['usr' as never] } } })
  wrong.get('/', async () => 'ok')
  await t.rejects(async () => { await wrong.ready() }, { code: 'FST_CTX_INVALID_OPTION', message: /'usr'/ })
})

t.test('routes that share one options object require the same keys, whether added before or after the plugin and the hooks', async (t) => {
  const shared = required('user')
  const order: string[] = []
  const app: FastifyInstance = Fastify()
  app.register(ctx.plugin)
  app.get('/before', shared, async () => { order.push('handler'); return ctx.require('user').id })
  app.get('/own', { ...shared, preHandler: async () => { ctx.set('user', { id: 'bob' }) } }, async () => ctx.require('user').id)
  app.addHook('preHandler', async (request) => { order.push('hook'); if (request.headers.authorization !== undefined) ctx.set('user', { id: 'ada' }) })
  app.register(async (child) => { child.get('/after', shared, async () => ctx.require('user').id) })
  const { url } = await listen(t, app)
  for (let i = 0; i < 2; i++) {
    for (const path of ['/before', '/after']) {
      t.equal((await fetch(url + path)).status, 401, path)
      t.equal(await (await fetch(url + path, { headers: { authorization: 's3cret' } })).text(), 'ada', path)
    }
    t.equal(await (await fetch(`${url}/own`)).text(), 'bob')
  }
  t.same(order.slice(0, 5), ['hook', 'hook', 'handler', 'hook', 'hook'])
})

t.test('if a tool wraps the hooks, a route added before the plugin is refused in the hook of the plugin', async (t) => {
  const app: FastifyInstance = Fastify()
  const { addHook } = app
  app.addHook = function (this: FastifyInstance, name: string, hook: (...args: unknown[]) => unknown) {
    return (addHook as (this: FastifyInstance, ...args: unknown[]) => FastifyInstance).call(this, name, name === 'preHandler' ? (a: unknown, b: unknown, done: unknown) => hook(a, b, done) : hook)
  } as never
  app.register(ctx.plugin)
  app.get('/', required('tenant'), async () => 'ok')
  app.get('/late', required('user'), async () => t.fail('called'))
  app.addHook('preHandler', (_request, _reply, done) => { ctx.set('user', { id: 'ada' }); done() })
  const { url } = await listen(t, app)
  t.equal((await fetch(url)).status, 400)
  t.equal((await fetch(url, { headers: { 'x-tenant-id': 'acme' } })).status, 200)
  t.equal((await fetch(`${url}/late`)).status, 401, 'refused, although a later hook would set the key')
})

t.test('a request without a scope is refused if its route requires keys', async (t) => {
  let route: RouteOptions | undefined
  const { app } = await setting(t, (app) => {
    app.addHook('onRoute', (seen) => { route ??= seen })
    app.get('/', required('tenant'), async () => 'ok')
  })
  await app.ready()
  const [check] = route!.preHandler as unknown as Array<(request: object, reply: object, done: (error?: Error) => void) => void>
  ctx.run({ tenant: 'acme' }, () => { check!({ raw: {} }, {}, (error) => { t.match(error, { code: 'FST_CTX_MISSING', statusCode: 400 }) }) })
})

t.test('required keys are read from the request itself, even in the scope of another request or in none', async (t) => {
  const app = Fastify()
  await app.register(ctx.plugin, { reenter: false })
  let outside = true
  const [none, another] = [ctx.snapshot(), ctx.run({ tenant: 'another', user: { id: 'eve' } }, () => ctx.snapshot())]
  // The last hook calls back in the scope of another request, or outside any scope.
  app.addHook('preHandler', (_request, _reply, done) => {
    ;(outside ? none : another)(done)
  })
  app.get('/tenant', required('tenant'), async () => 'ok')
  app.get('/user', required('user'), async () => 'ok')
  const { url } = await listen(t, app)
  for (outside of [true, false]) {
    t.equal((await fetch(`${url}/tenant`, { headers: { 'x-tenant-id': 'acme' } })).status, 200)
    t.equal((await fetch(`${url}/tenant`)).status, 400)
    t.equal((await fetch(`${url}/user`)).status, 401)
  }
})
