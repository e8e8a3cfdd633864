import requestContextPlugin, { requestContext } from '@fastify/request-context'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import t from 'tap'
import context, { createContext, ctx, key, type ReadyMadeOptions } from '../../lib/index.ts'
import { gate, Lines, listen, type Tap } from '../support/support.ts'

/** A plain object with an own property `__proto__`, as JSON.parse creates it. */
const ownProto = JSON.parse('{"__proto__":{"log":true}}') as object

async function register (options: unknown): Promise<FastifyInstance> {
  const app = Fastify()
  await app.register(context, options as ReadyMadeOptions)
  return app
}

t.test('invalid options fail the registration with a code and the name of the option', async (t) => {
  for (const [what, options, code, message] of [
    ['an option that does not exist', { key: {} }, 'FST_CTX_INVALID_OPTION', /'key'/],
    ['keys that are no object', { keys: 'tenant' }, 'FST_CTX_INVALID_OPTION', /'keys'/],
    ['keys that are null', { keys: null }, 'FST_CTX_INVALID_OPTION', /'keys'/],
    ['keys that are no plain object', { keys: ['tenant'] }, 'FST_CTX_INVALID_KEY', /plain object/],
    ['a policy that is no object', { keys: { tenant: true } }, 'FST_CTX_INVALID_OPTION', /'keys\.tenant'/],
    ['a policy that is null', { keys: { tenant: null } }, 'FST_CTX_INVALID_OPTION', /'keys\.tenant'/],
    ['an option of a policy that does not exist', { keys: { tenant: { sede: () => 'x' } } }, 'FST_CTX_INVALID_OPTION', /'keys\.tenant\.sede'/],
    ['a seed that is no function', { keys: { tenant: { seed: 'acme' } } }, 'FST_CTX_INVALID_OPTION', /'keys\.tenant\.seed'/],
    ['a log that is neither boolean nor function', { keys: { tenant: { log: 'id' } } }, 'FST_CTX_INVALID_OPTION', /'keys\.tenant\.log'/],
    ['the key requestId', { keys: { requestId: () => 'x' } }, 'FST_CTX_INVALID_KEY', /'requestId'/],
    ['a key named like a member', { keys: { run: {} } }, 'FST_CTX_INVALID_KEY', /'run'/],
    ['a key named like a method of objects', { keys: { toString: {} } }, 'FST_CTX_INVALID_KEY', /'toString'/],
    ['a key without a name', { keys: { '': {} } }, 'FST_CTX_INVALID_KEY', /''/],
    ['an own key __proto__', { keys: ownProto }, 'FST_CTX_INVALID_KEY', /'__proto__'/],
    ['a literal __proto__', { keys: { __proto__: { log: true } } }, 'FST_CTX_INVALID_KEY', /'__proto__'/],
    ['a logged key named like a field of every line', { keys: { level: { log: true } } }, 'FST_CTX_INVALID_KEY', /'level'/],
    ['a header name that is no string', { requestId: { header: 7 } }, 'FST_CTX_INVALID_OPTION', /'requestId\.header'/],
    ['a closeTimeout that is no number', { closeTimeout: '10s' }, 'FST_CTX_INVALID_OPTION', /'closeTimeout'/],
    ['a closeTimeout below 0', { closeTimeout: -1 }, 'FST_CTX_INVALID_OPTION', /'closeTimeout'/],
    ['requestId that is null', { requestId: null }, 'FST_CTX_INVALID_OPTION', /'requestId'/],
    ['an option of requestId that does not exist', { requestId: { headers: 'x' } }, 'FST_CTX_INVALID_OPTION', /'requestId\.headers'/]
  ] as const) {
    await t.rejects(() => register(options), { code, message }, what)
  }
})

t.test('options that Fastify passes to every plugin are not treated as ours', async (t) => {
  await t.resolves(() => register({ prefix: '/x', logLevel: 'warn', logSerializers: {} }))
})

t.test('a custom context refuses keys at registration', async (t) => {
  const own = createContext({ tenant: key<string>() })
  await t.rejects(async () => { await Fastify().register(own.plugin, { keys: {} } as never) }, { code: 'FST_CTX_INVALID_OPTION', message: /createContext/ })
})

t.test('registration accepts late options, and no others of createContext', async (t) => {
  const own = createContext({ tenant: key<string>({ header: 'x-tenant' }) })
  await t.rejects(async () => { await Fastify().register(own.plugin, { propagate: { 'https://api.example': ['user'] } }) }, { code: 'FST_CTX_INVALID_OPTION', message: /propagate/ })
  const propagate = { 'https://api.example': ['tenant'] }
  const app = Fastify()
  await app.register(own.plugin, { propagate })
  await t.resolves(async () => { await app.register(own.plugin, { propagate: { ...propagate } }) }, 'the same once more')
  await t.rejects(async () => { await app.register(own.plugin, { propagate: {} }) }, { code: 'FST_CTX_ALREADY_REGISTERED', message: /'propagate'/ })
  t.same(own.policy()[0]?.origins, ['https://api.example'])
  await app.close()
})

t.test('registered twice', async (t) => {
  const seed = (): string => 'acme'
  const options = { keys: { tenant: { seed, log: true } }, requestId: { header: 'x-id' } } as const

  for (const [what, second] of Object.entries({ 'the same options': { ...options, keys: { ...options.keys } }, 'no options': {}, 'no options but those of Fastify': { prefix: '/x' }, 'the same options, and one without a value': { ...options, closeTimeout: undefined as never } })) {
    t.test(`with ${what}: the second registration does nothing, in the same instance and in a child`, async (t) => {
      const app = Fastify()
      await app.register(context, options)
      await app.register(context, second)
      let reads = 0
      app.addHook('onRequest', async () => { if (ctx.get('tenant') === 'acme') reads++ })
      app.register(async (child) => {
        await child.register(context, second)
        child.get('/child', async () => ctx.get('tenant'))
      })
      const answer = await app.inject({ url: '/child', headers: { 'x-id': 'id-1' } })
      t.equal(answer.body, 'acme')
      t.equal(answer.headers['x-request-id'], 'id-1')
      t.equal(reads, 1)
      await app.close()
    })
  }

  t.test('with other options: refused, in the same instance and in a child', async (t) => {
    for (const [second, named] of [
      [{ keys: {} }, "'keys', 'requestId'"],
      [{ keys: { tenant: { seed: () => 'other', log: true } }, requestId: { header: 'x-id' } }, "'keys'"],
      [{ ...options, requestId: { header: 'x-other' } }, "'requestId'"],
      [{ ...options, closeTimeout: 1 }, "'closeTimeout'"]
    ] as const) {
      const app = Fastify()
      await app.register(context, options)
      await t.rejects(async () => { await app.register(context, second as ReadyMadeOptions) }, { code: 'FST_CTX_ALREADY_REGISTERED', message: new RegExp(`with another ${named} \\(`) })

      const parent = Fastify()
      parent.register(context, options)
      parent.register(async (child) => { child.register(context, second as ReadyMadeOptions) })
      await t.rejects(async () => { await parent.ready() }, { code: 'FST_CTX_ALREADY_REGISTERED' })
    }
  })

  t.test('in a child and later in its parent: one scope per request, opened by the parent', async (t) => {
    const own = createContext({ tenant: key<string>({ seed: () => { seeds++; return 'acme' } }) })
    let seeds = 0
    const app = Fastify()
    await app.register(async (child) => {
      await child.register(own.plugin)
      child.get('/child', async () => own.get('tenant'))
    })
    await app.register(own.plugin)
    app.get('/', async () => own.get('tenant'))
    t.equal((await app.inject('/child')).body, 'acme')
    t.equal(seeds, 1)
    t.equal((await app.inject('/')).body, 'acme')
    await app.close()
  })
})

t.test('closing takes no extra turn of the event loop, so plugins closed later see the same order of events', async (t) => {
  for (const plugged of [false, true]) {
    const app = Fastify()
    if (plugged) await app.register(context)
    let turnTaken = false
    app.addHook('onClose', async () => { t.equal(turnTaken, false, plugged ? 'with the plugin' : 'without it') })
    const { url } = await listen(t, app)
    await (await fetch(url, { headers: { connection: 'close' } })).text()
    app.server.once('close', () => { setImmediate(() => { turnTaken = true }) })
    await app.close()
  }
})

t.test('request.ctx of another plugin, decorated before ours: refused', async (t) => {
  const app = Fastify()
  app.decorateRequest('ctx', null as never)
  await t.rejects(async () => { await app.register(context) }, { code: 'FST_CTX_DECORATED' })
})

t.test('request.ctx of another plugin, decorated after ours: refused when it is decorated, with any value', async (t) => {
  const app = Fastify()
  await app.register(context)
  const { decorateRequest } = app
  t.equal(decorateRequest.name, 'decorateRequest')
  t.equal(decorateRequest.length, 3)
  for (const decorator of [null, 'text', () => 'method', { getter: () => 'theirs' }]) t.throws(() => app.decorateRequest('ctx', decorator as never), { code: 'FST_CTX_DECORATED' })
  app.decorate('ctx', 'of the application: it hides nothing')
  app.register(async (child) => {
    child.decorateRequest('ctx', null as never)
    child.get('/', async () => 'ok')
  })
  await t.rejects(async () => { await app.ready() }, { code: 'FST_CTX_DECORATED' })
})

t.test('a request that app.routing() routes again keeps its id and its scope', async (t) => {
  const own = createContext({ tenant: key<string>({ seed: () => 'acme' }) })
  const lines = new Lines(t)
  const app = Fastify({ logger: { stream: lines } })
  await app.register(own.plugin)
  app.get('/', async (request, reply) => {
    own.set('tenant', 'globex')
    reply.hijack()
    request.raw.url = '/again'
    request.raw.headers['x-first-id'] = request.id
    app.routing(request.raw, reply.raw)
  })
  app.get('/again', async (request) => {
    request.log.info('again')
    return { first: request.headers['x-first-id'], request: request.id, ctx: own.get('requestId'), access: request.ctx.requestId, tenant: own.get('tenant') }
  })
  const { url } = await listen(t, app)
  const answer = await fetch(url)
  const { first, tenant, ...ids } = await answer.json() as Record<string, unknown>
  t.same(ids, { request: first, ctx: first, access: first })
  t.equal(tenant, 'globex')
  t.equal(lines.one('again').reqId, first)
})

t.test('the plugin in an encapsulated child covers only that child', async (t) => {
  const own = createContext({ tenant: key<string>({ seed: () => 'acme', log: true }) })
  const lines = new Lines(t)
  const app = Fastify({ logger: { stream: lines } })
  app.register(async (child) => {
    await child.register(own.plugin)
    child.get('/in', async (request) => {
      request.log.info('in')
      return own.get('tenant')
    })
  })
  app.get('/out', async (request) => {
    request.log.info('out')
    return { tenant: own.get('tenant') ?? null, ctx: 'ctx' in request }
  })
  const { url } = await listen(t, app)
  t.equal(await (await fetch(`${url}/in`)).text(), 'acme')
  t.same(await (await fetch(`${url}/out`)).json(), { tenant: null, ctx: false })
  t.equal(lines.one('in').tenant, 'acme')
  t.notOk('tenant' in lines.one('out'))
})

t.test('request.ctx', async (t) => {
  /** What a handler returns in an application with the ready-made context. */
  async function handled (t: Tap, handler: (request: FastifyRequest) => Promise<unknown>): Promise<unknown> {
    const app = Fastify()
    await app.register(context, { keys: { tenant: () => 'acme', user: {} } })
    app.get('/', handler)
    const { url } = await listen(t, app)
    const answer = await fetch(url, { headers: { 'x-request-id': 'id-1' } })
    t.equal(answer.status, 200, await answer.clone().text())
    return await answer.json()
  }

  t.test('reads and writes each key like a property, and reads the request id', async (t) => {
    t.same(await handled(t, async (request) => {
      request.ctx.user = { id: 'ada' }
      request.ctx.tenant = 'other'
      return { user: ctx.get('user'), tenant: request.ctx.tenant, id: request.ctx.requestId }
    }), { user: { id: 'ada' }, tenant: 'other', id: 'id-1' })
  })

  t.test('reads and writes an undeclared key on the ready-made context', async (t) => {
    t.same(await handled(t, async (request) => {
      const before = request.ctx.basket
      request.ctx.basket = ['apple']
      return { before: before ?? null, after: request.ctx.basket, get: ctx.get('basket') }
    }), { before: null, after: ['apple'], get: ['apple'] })
  })

  t.test('has the methods of ctx', async (t) => {
    t.same(await handled(t, async (request) => {
      request.ctx.set('tenant', 'set')
      const within = request.ctx.run({ tenant: 'run' }, () => [request.ctx.tenant, request.ctx.get('tenant'), ctx.get('tenant')])
      return { within, tenant: request.ctx.require('tenant'), has: request.ctx.has('user'), log: request.ctx.log === request.log, mixin: request.ctx.mixin() }
    }), { within: ['run', 'run', 'run'], tenant: 'set', has: false, log: true, mixin: { reqId: 'id-1' } })
  })

  t.test('refuses a write that no reader would see', async (t) => {
    const refused = (write: () => void): unknown => {
      try {
        write()
        return 'taken'
      } catch (error) {
        return (error as { code?: string }).code ?? (error as Error).name
      }
    }
    t.same(await handled(t, async ({ ctx }) => [
      refused(() => { (ctx as { requestId: string }).requestId = 'x' }),
      refused(() => { (ctx as unknown as { run: string }).run = 'x' }),
      refused(() => { (ctx as unknown as { toString: string }).toString = 'x' }),
      refused(() => { (ctx as unknown as Record<symbol, string>)[Symbol('x')] = 'x' })
    ]), ['TypeError', 'TypeError', 'FST_CTX_INVALID_KEY', 'TypeError'])

    const own = createContext({ tenant: key<string>() })
    const app = Fastify()
    await app.register(own.plugin)
    app.get('/', async ({ ctx }) => [
      refused(() => { (ctx as unknown as { tenat: string }).tenat = 'x' }),
      refused(() => { ctx.set('tenat' as never, 'x' as never) }),
      String((ctx as unknown as { tenat?: string }).tenat)
    ])
    t.same((await app.inject('/')).json(), ['TypeError', 'FST_CTX_UNKNOWN_KEY', 'undefined'])
  })

  t.test('acts on its own request in the work of another one', async (t) => {
    const held = gate<() => { tenant: string | undefined, inner: string | undefined }>()
    const done = gate()
    const app = Fastify()
    await app.register(context, { keys: { tenant: (request) => request.headers['x-tenant-id'] } })
    app.get('/first', async (request) => {
      held.open(() => ({ tenant: request.ctx.tenant, inner: request.ctx.run({}, () => ctx.get('tenant')) }))
      await done.promise
      return request.ctx.tenant
    })
    app.get('/second', async (request) => {
      const read = await held.promise
      return { ...read(), own: request.ctx.tenant, after: ctx.get('tenant') }
    })
    const { url } = await listen(t, app)
    const first = fetch(`${url}/first`, { headers: { 'x-tenant-id': 'A' } })
    await held.promise
    t.same(await (await fetch(`${url}/second`, { headers: { 'x-tenant-id': 'B' } })).json(), { tenant: 'A', inner: 'A', own: 'B', after: 'B' })
    done.open()
    t.equal(await (await first).text(), 'A')
  })

  t.test('in hooks before the scope opens', async (t) => {
    const app = Fastify()
    let early: unknown
    app.addHook('onRequest', async (request) => { early = [request.ctx.tenant, request.ctx.has('tenant')] })
    await app.register(context, { keys: { tenant: () => 'acme' } })
    app.get('/', async (request) => request.ctx.tenant)
    t.equal((await app.inject('/')).body, 'acme')
    t.same(early, [undefined, false])
  })

  t.test('belongs to the first of two contexts, and neither sees the other', async (t) => {
    const first = createContext({ tenant: key<string>({ seed: () => 'of the first' }) })
    const second = createContext({ tenant: key<string>({ seed: () => 'of the second' }) })
    const app = Fastify()
    await app.register(first.plugin)
    await app.register(second.plugin)
    app.get('/', async (request) => {
      first.set('tenant', 'changed')
      return [request.ctx.tenant, first.get('tenant'), second.get('tenant'), second.run({ tenant: 'run' }, () => first.get('tenant'))]
    })
    t.same((await app.inject('/')).json(), ['changed', 'changed', 'of the second', 'changed'])
  })
})

t.test('@fastify/request-context', async (t) => {
  t.test('requestContext reads and writes our values, and is decorated as usual', async (t) => {
    const legacy = requestContext as unknown as { get: (name: string) => unknown, set: (name: string, value: unknown) => void }
    const app = Fastify()
    await app.register(context, { keys: { tenant: () => 'acme' } })
    app.get('/', async (request) => {
      const before = legacy.get('tenant')
      legacy.set('tenant', 'written')
      ctx.set('user', { id: 'ada' })
      legacy.set('old', 'key of theirs')
      return {
        before,
        tenant: [ctx.get('tenant'), request.ctx.tenant],
        user: legacy.get('user'),
        old: ctx.get('old' as never),
        inner: ctx.run({ tenant: 'inner' }, () => legacy.get('tenant')),
        none: legacy.get('toString') === undefined,
        there: [request.requestContext === requestContext, app.requestContext === requestContext]
      }
    })
    const { url } = await listen(t, app)
    t.same(await (await fetch(url)).json(), {
      before: 'acme', tenant: ['written', 'written'], user: { id: 'ada' }, old: 'key of theirs', inner: 'inner', none: true, there: [true, true]
    })
    t.equal(legacy.get('tenant'), undefined)
  })

  const refused = { code: 'FST_CTX_REQUEST_CONTEXT_REGISTERED', message: /remove its registration/ }

  t.test('registered before ours: refused', async (t) => {
    const app = Fastify()
    await app.register(requestContextPlugin)
    await t.rejects(async () => { await app.register(context) }, refused)

    const whole = Fastify()
    whole.register(requestContextPlugin)
    whole.register(context)
    await t.rejects(async () => { await whole.ready() }, refused)
  })

  t.test('registered after ours: the start fails without an uncatchable error', async (t) => {
    const app = Fastify()
    app.register(context)
    app.register(requestContextPlugin)
    await t.rejects(async () => { await app.ready() }, refused)

    const nested = Fastify()
    await nested.register(context)
    nested.register(async (child) => { child.register(requestContextPlugin) })
    await t.rejects(async () => { await nested.listen({ port: 0 }) }, refused)
  })

  t.test('other decorators work as usual', async (t) => {
    const app = Fastify()
    await app.register(context)
    t.equal(app.decorate('mine', 1), app)
    app.decorateRequest('theirs', null)
    t.ok(app.hasDecorator('mine'))
    t.ok(app.hasRequestDecorator('theirs'))
    t.throws(() => app.decorate('mine', 2), { code: 'FST_ERR_DEC_ALREADY_PRESENT' })
  })
})

t.test('the same context in two applications of one process', async (t) => {
  const own = createContext({ tenant: key<string>({ seed: (request) => request.headers['x-tenant-id'], log: true }) })
  const start = async (requestId: object): Promise<{ readonly lines: Lines, readonly url: string, readonly app: FastifyInstance }> => {
    const lines = new Lines(t)
    const app: FastifyInstance = Fastify({ logger: { stream: lines } })
    await app.register(own.plugin, { requestId })
    app.get('/', async () => {
      own.log.info('mine')
      return own.get('tenant')
    })
    return { lines, app, ...await listen(t, app) }
  }
  const a = await start({ header: 'x-a' })
  const b = await start({ header: 'x-b' })
  const headers = { 'x-a': 'id-a', 'x-b': 'id-b' }
  const answers = await Promise.all([a, b].map(({ url }, i) => fetch(url, { headers: { ...headers, 'x-tenant-id': `T${i}` } })))
  t.same(await Promise.all(answers.map((answer) => answer.text())), ['T0', 'T1'])
  t.match(a.lines.one('mine'), { reqId: 'id-a', tenant: 'T0' })
  t.match(b.lines.one('mine'), { reqId: 'id-b', tenant: 'T1' })

  own.log.info('outside')
  t.equal(b.lines.all('outside').length, 1, 'outside any request: the logger of the application registered last')
  await b.app.close()
  own.log.info('after')
  t.equal(a.lines.all('after').length, 1, 'after it has closed: of the previous one')
  await a.app.close()
  own.log.info('nobody')
  t.same([...a.lines.all('nobody'), ...b.lines.all('nobody')], [], 'none: silent')
})

t.test('requestId.header with the header of a key fails the registration', async (t) => {
  const own = createContext({ tenant: key<string>({ header: 'X-Tenant' }) })
  for (const header of ['x-tenant', 'X-TENANT']) {
    const app = Fastify()
    await t.rejects(async () => { await app.register(own.plugin, { requestId: { header } }) }, { code: 'FST_CTX_INVALID_OPTION', message: /'requestId\.header'/ })
  }
})
