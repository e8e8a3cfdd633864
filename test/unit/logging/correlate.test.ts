import { requestContext } from '@fastify/request-context'
import Fastify, * as fastify from 'fastify'
import type { FastifyBaseLogger, FastifyInstance, FastifyServerOptions } from 'fastify'
import pino, { type Logger } from 'pino'
import t from 'tap'
import { createContext, key } from '../../../lib/index.ts'
import { fastifyHas, gate, Lines, listen, repeatedNames, turns, warnings, type LogLine, type Tap } from '../../support/support.ts'

interface User { readonly id: string, readonly secret: string }

const userOf = (id: string): User => ({ id, secret: `secret of ${id}` })

function makeContext () {
  return createContext({
    tenant: key<string>({ seed: (request) => request.headers['x-tenant-id'], log: true }),
    user: key<User>({ log: (user) => user.id }),
    token: key<string>({ seed: () => 'hush' })
  })
}

type Ctx = ReturnType<typeof makeContext>

/** The server options that give the request id another name on log lines. */
function labelled (requestIdLogLabel: string): FastifyServerOptions {
  // Use the namespace: a named import would fail with an older Fastify that lacks the export.
  return fastifyHas('LogController') ? { logController: new fastify.LogController({ requestIdLogLabel }) } : { requestIdLogLabel }
}

/** Our fields of a line. */
function ours ({ reqId, tenant, user }: LogLine): LogLine {
  return { reqId, tenant, user }
}

interface Setting { readonly ctx: Ctx, readonly lines: Lines, readonly app: FastifyInstance, readonly call: (path?: string, headers?: Record<string, string>) => Promise<Response> }

/** An application with only our plugin, whose preHandler sets a user. */
async function setting (t: Tap, options: (lines: Lines, ctx: Ctx) => FastifyServerOptions, routes: (app: FastifyInstance, ctx: Ctx) => void): Promise<Setting> {
  const ctx = makeContext()
  const lines = new Lines(t)
  const app: FastifyInstance = Fastify(options(lines, ctx))
  await app.register(ctx.plugin)
  app.addHook('preHandler', async (request) => {
    const id = request.headers['x-user']
    if (typeof id === 'string') ctx.set('user', userOf(id))
  })
  routes(app, ctx)
  const { url } = await listen(t, app)
  const call = (path = '/', headers: Record<string, string> = {}): Promise<Response> => fetch(url + path, { headers: { 'x-request-id': 'id-1', 'x-tenant-id': 'acme', 'x-user': 'ada', ...headers } })
  return { ctx, lines, app, call }
}

const plainLogger = (lines: Lines): FastifyServerOptions => ({ logger: { stream: lines } })

/** Our fields on the lines of the request, once the user is set. */
const whole = { reqId: 'id-1', tenant: 'acme', user: 'ada' }

t.test('the checker finds only duplicate names, at any depth', async (t) => {
  t.same(repeatedNames('{"a":1,"b":{"a":1},"c":[{"a":1},{"a":"\\"a\\":"}]}'), [])
  t.same(repeatedNames('{"a":1,"a":2}'), ['a'])
  t.same(repeatedNames('{"x":{"y":[{"a":1,"b":"}","a":2}]}}'), ['a'])
  t.same(repeatedNames('{"a":1,"\\u0061":2}'), ['a'])
})

t.test('after register alone each logger below app.log logs id, tenant and user', async (t) => {
  const ctx = makeContext()
  const lines = new Lines(t)
  const app = Fastify({ logger: { stream: lines } })
  const before = app.log.child({ module: 'before' })
  const grandchild = before.child({ part: 'x' }, { level: 'trace' })
  await app.register(ctx.plugin)
  const after = app.log.child({ module: 'after' })
  app.addHook('preHandler', async () => { ctx.set('user', userOf('ada')) })
  app.get('/', async (request, reply) => {
    request.log.info('request.log')
    reply.log.info('reply.log')
    app.log.info('app.log')
    before.info('child before')
    grandchild.trace('grandchild before')
    after.info('child after')
    app.log.child({ module: 'within' }).info('child of app.log within')
    request.log.child({ module: 'within' }).info('child of request.log within')
    ctx.log.info('ctx.log')
    ctx.log.child({ module: 'within' }).info('child of ctx.log')
    return 'ok'
  })
  const { url } = await listen(t, app)
  app.log.info('outside any request')
  await fetch(url, { headers: { 'x-request-id': 'id-1', 'x-tenant-id': 'acme' } })
  await lines.until('request completed')

  for (const message of [
    'request.log', 'reply.log', 'app.log', 'child before', 'grandchild before', 'child after', 'child of app.log within',
    'child of request.log within', 'ctx.log', 'child of ctx.log', 'request completed'
  ]) t.same(ours(lines.one(message)), whole, message)
  t.equal(lines.one('child before').module, 'before')
  t.match(lines.one('grandchild before'), { level: 10, module: 'before', part: 'x' })
  t.same(ours(lines.one('incoming request')), { reqId: 'id-1', tenant: undefined, user: undefined }, 'the values known that early')
  t.same(ours(lines.one('outside any request')), { reqId: undefined, tenant: undefined, user: undefined })
  t.notMatch(lines.raw.join(''), /hush|secret/, 'a key without log stays out, and a mapped one is mapped')
})

t.test('the user is on each line from the moment it is set', async (t) => {
  const { lines, call } = await setting(t, plainLogger, (app) => {
    app.get('/', { preValidation: async (request) => { request.log.info('before') } }, async (request) => {
      request.log.info('after')
      return 'ok'
    })
  })
  await call()
  await lines.until('request completed')
  t.same(ours(lines.one('before')), { ...whole, user: undefined })
  t.same(ours(lines.one('after')), whole)
  t.same(ours(lines.one('request completed')), whole)
})

t.test('log lines of errors and 404 responses carry the fields', async (t) => {
  const { lines, call } = await setting(t, plainLogger, (app) => {
    app.get('/', async () => { throw new Error('broken') })
  })
  t.equal((await call()).status, 500)
  t.equal((await call('/nowhere', { 'x-request-id': 'id-2' })).status, 404)
  await lines.until('request completed', 2)
  t.match(ours(lines.one('broken')), whole)
  t.same(ours(lines.one('Route GET:/nowhere not found')), { ...whole, reqId: 'id-2' })
  t.same(lines.all('request completed').map(ours), [whole, { ...whole, reqId: 'id-2' }])
})

t.test('two concurrent requests, ended in either order: no line carries a value of the other', async (t) => {
  const gates = { a: gate(), b: gate() }
  const { lines, call } = await setting(t, plainLogger, (app, ctx) => {
    app.get<{ Params: { name: 'a' | 'b' } }>('/:name', async (request) => {
      const { name } = request.params
      request.log.info('arrived')
      await gates[name].promise
      request.log.info(`request.log ${name}`)
      app.log.info(`app.log ${name}`)
      ctx.log.info(`ctx.log ${name}`)
      return 'ok'
    })
  })
  for (const order of [['a', 'b'], ['b', 'a']] as const) {
    lines.raw = []
    gates.a = gate()
    gates.b = gate()
    const answers = { a: call('/a', { 'x-request-id': 'a', 'x-tenant-id': 'A', 'x-user': 'ann' }), b: call('/b', { 'x-request-id': 'b', 'x-tenant-id': 'B', 'x-user': 'bob' }) }
    await lines.until('arrived', 2)
    for (const name of order) {
      gates[name].open()
      await answers[name]
    }
    await lines.until('request completed', 2)
    for (const logger of ['request.log', 'app.log', 'ctx.log']) {
      t.same(ours(lines.one(`${logger} a`)), { reqId: 'a', tenant: 'A', user: 'ann' })
      t.same(ours(lines.one(`${logger} b`)), { reqId: 'b', tenant: 'B', user: 'bob' })
    }
    t.same(lines.all('request completed').map(ours).map(({ tenant }) => tenant), order.map((name) => name.toUpperCase()))
  }
})

t.test('a line that request.log writes in the work of another request has the fields of its own request', async (t) => {
  const held = gate<FastifyBaseLogger>()
  const done = gate()
  const { lines, call } = await setting(t, plainLogger, (app) => {
    app.get('/first', async (request) => {
      held.open(request.log)
      await done.promise
      return 'ok'
    })
    app.get('/second', async (request) => {
      const log = await held.promise
      log.info('by request.log')
      log.child({ part: 1 }).info('by its child')
      request.log.info('by the second')
      app.log.info('by app.log')
      return 'ok'
    })
  })
  const first = call('/first', { 'x-request-id': 'first', 'x-tenant-id': 'A', 'x-user': 'ann' })
  await held.promise
  await call('/second', { 'x-request-id': 'second', 'x-tenant-id': 'B', 'x-user': 'bob' })
  done.open()
  await first
  t.same(ours(lines.one('by request.log')), { reqId: 'first', tenant: 'A', user: 'ann' })
  t.same(ours(lines.one('by its child')), { reqId: 'first', tenant: 'A', user: 'ann' })
  t.same(ours(lines.one('by the second')), { reqId: 'second', tenant: 'B', user: 'bob' })
  t.same(ours(lines.one('by app.log')), { reqId: 'second', tenant: 'B', user: 'bob' })
})

/** Loggers of each kind, by name. All of them see the values of `ctx.run`. */
function loggersOf (app: FastifyInstance, ctx: Ctx, lines: Lines): (request: { readonly log: FastifyBaseLogger }) => Record<string, Pick<FastifyBaseLogger, 'info'>> {
  const module = pino({ mixin: ctx.mixin }, lines)
  const child = module.child({ module: 'child' })
  const appChild = app.log.child({ module: 'x' })
  return (request) => ({ 'request.log': request.log, 'child of request.log': request.log.child({ a: 1 }), 'app.log': app.log, 'child of app.log': appChild, 'ctx.log': ctx.log, mixin: module, 'child of mixin': child })
}

for (const [what, options] of Object.entries<(lines: Lines, ctx: Ctx) => FastifyServerOptions>({
  'no mixin': plainLogger,
  'logger: { mixin: ctx.mixin }': (lines, ctx) => ({ logger: { stream: lines, mixin: ctx.mixin } }),
  'loggerInstance: pino({ mixin: ctx.mixin })': (lines, ctx) => ({ loggerInstance: pino({ mixin: ctx.mixin }, lines) as FastifyBaseLogger }),
  'loggerInstance: a child of pino({ mixin: ctx.mixin })': (lines, ctx) => ({ loggerInstance: pino({ mixin: ctx.mixin }, lines).child({ service: 's' }) as FastifyBaseLogger })
})) {
  t.test(`ctx.run logs the inner user inside and the outer one afterwards, on every logger, also Fastify's with ${what}`, async (t) => {
    let each: ReturnType<typeof loggersOf>
    const { lines, call } = await setting(t, options, (app, ctx) => {
      app.get('/', async (request) => {
        const all = Object.entries(each(request))
        for (const [name, logger] of all) logger.info(`${name} before`)
        await ctx.run({ user: userOf('eve') }, async () => {
          for (const [name, logger] of all) logger.info(`${name} inside`)
          await turns(1)
          for (const [name, logger] of all) logger.info({ more: { user: 'x' } }, `${name} inside, later`)
        })
        for (const [name, logger] of all) logger.info(`${name} after`)
        return 'ok'
      })
    }).then((made) => {
      each = loggersOf(made.app, made.ctx, made.lines)
      return made
    })
    await call()
    await lines.until('request completed')
    for (const name of ['request.log', 'child of request.log', 'app.log', 'child of app.log', 'ctx.log', 'mixin', 'child of mixin']) {
      t.same(ours(lines.one(`${name} before`)), whole, `${name} before`)
      t.same(ours(lines.one(`${name} inside`)), { ...whole, user: 'eve' }, `${name} inside`)
      t.same(ours(lines.one(`${name} inside, later`)), { ...whole, user: 'eve' }, `${name} inside, later`)
      t.same(ours(lines.one(`${name} after`)), whole, `${name} after`)
    }
    t.same(ours(lines.one('request completed')), whole)
  })
}

t.test('ctx.mixin needs no server: a job has its own id, or the one that it is given', async (t) => {
  const ctx = makeContext()
  const lines = new Lines(t)
  const log = pino({ mixin: ctx.mixin }, lines)
  log.info('outside')
  ctx.run({ tenant: 'acme', requestId: 'job-7' }, () => { log.info('inside') })
  ctx.run({}, () => { log.info('other') })
  t.notOk('reqId' in lines.one('outside'))
  t.same(ours(lines.one('inside')), { reqId: 'job-7', tenant: 'acme', user: undefined })
  t.match(lines.one('other').reqId, /^[\da-f-]{36}$/)
})

t.test('ctx.mixin returns a new object on each call', async (t) => {
  const ctx = makeContext()
  ctx.run({ tenant: 'acme', requestId: 'job' }, () => {
    Object.assign(ctx.mixin(), { tenant: 'changed', more: 1 })
    t.same(ctx.mixin(), { reqId: 'job', tenant: 'acme' })
  })
  t.same(ctx.mixin(), {})
})

t.test('ctx.mixin: fields of one line are not on the next', async (t) => {
  const ctx = makeContext()
  const lines = new Lines(t)
  const log = pino({ mixin: ctx.mixin }, lines)
  ctx.run({ tenant: 'acme' }, () => {
    log.info({ order: 1, tenant: 'x' }, 'first')
    log.info('second')
  })
  t.match(lines.one('first'), { order: 1, tenant: 'x' })
  t.equal(lines.one('second').tenant, 'acme')
  t.notOk('order' in lines.one('second'))
})

t.test('a field that a logger writes itself is not written twice', async (t) => {
  const ctx = createContext({ message: key<string>({ log: true }), severity: key<string>({ log: true }), at: key<string>({ log: true }), payload: key<string>({ log: true }) })
  const options = { messageKey: 'message', timestamp: () => ',"at":1', formatters: { level: (severity: string) => ({ severity }) } }
  const values = { message: 'm', severity: 's', at: 'a', payload: 'p' }

  t.test('ctx.mixin leaves it out', async (t) => {
    const lines = new Lines(t)
    ctx.run(values, () => { pino({ ...options, mixin: ctx.mixin }, lines).info('hello') })
    t.match(lines.one('hello', 'message'), { message: 'hello', severity: 'info', at: 1, payload: 'p' })
  })

  t.test('with nestedKey our fields are in the nested object', async (t) => {
    const lines = new Lines(t)
    ctx.run(values, () => { pino({ ...options, nestedKey: 'payload', mixin: ctx.mixin }, lines).info('hello') })
    t.match(lines.one('hello', 'message'), { message: 'hello', severity: 'info', at: 1, payload: values })
  })

  for (const [name, logger] of Object.entries({
    message: { messageKey: 'message' },
    failure: { errorKey: 'failure' },
    severity: { formatters: options.formatters },
    at: { timestamp: options.timestamp },
    payload: { nestedKey: 'payload' },
    region: { base: { region: 'eu' } },
    name: { name: 'service' }
  })) {
    t.test(`register refuses the key '${name}' if the application's logger writes that field`, async (t) => {
      const ctx = createContext({ [name]: key<string>({ log: true }) })
      const app = Fastify({ logger: { ...logger, stream: new Lines(t) } })
      await t.rejects(async () => { await app.register(ctx.plugin) }, { code: 'FST_CTX_INVALID_KEY' })
    })
  }

  t.test('register refuses a key that is named like the request id on log lines', async (t) => {
    const app = Fastify({ logger: { stream: new Lines(t) }, ...labelled('rid') })
    await t.rejects(async () => { await app.register(createContext({ rid: key<string>({ log: true }) }).plugin) }, { code: 'FST_CTX_INVALID_KEY' })
  })
})

t.test('logger: false: the context works, its log is silent, and another logger still has the fields', async (t) => {
  let other: Logger
  const { lines, call } = await setting(t, (lines, ctx) => {
    other = pino({ mixin: ctx.mixin }, lines)
    return { logger: false }
  }, (app, ctx) => {
    app.get('/', async (request) => {
      request.log.info('nobody hears')
      ctx.log.info('nobody hears')
      other.info('heard')
      return { tenant: ctx.get('tenant'), id: ctx.get('requestId') }
    })
  })
  t.same(await (await call()).json(), { tenant: 'acme', id: 'id-1' })
  t.same(lines.all().length, 1)
  t.same(ours(lines.one('heard')), whole)
})

t.test('a loggerInstance that is not pino works as before, with the request id that Fastify binds', async (t) => {
  for (const prototype of [Object.prototype, null]) {
    const heard: unknown[][] = []
    const make = (bindings: object): FastifyBaseLogger => {
      const say = (...args: unknown[]): void => { heard.push([bindings, ...args]) }
      const logger = { level: 'info', child: (more: object) => make({ ...bindings, ...more }) }
      for (const level of ['info', 'error', 'debug', 'fatal', 'warn', 'trace', 'silent']) Object.assign(logger, { [level]: say })
      return Object.setPrototypeOf(logger, prototype) as FastifyBaseLogger
    }
    const { call } = await setting(t, () => ({ loggerInstance: make({}) }), (app, ctx) => {
      app.get('/', async (request) => {
        ctx.log.info('ctx.log')
        return ctx.get('tenant')
      })
    })
    t.equal(await (await call()).text(), 'acme')
    t.same(heard.filter(([, message]) => message === 'ctx.log'), [[{ reqId: 'id-1' }, 'ctx.log']])
  }
})

for (const [what, options] of Object.entries<(lines: Lines) => FastifyServerOptions>({
  'the server option': (lines) => ({ logger: { stream: lines }, requestIdLogLabel: 'trace' }),
  [fastifyHas('LogController') ? 'a LogController' : 'the server option of a Fastify without a LogController']: (lines) => ({ logger: { stream: lines }, ...labelled('trace') })
})) {
  t.test(`requestIdLogLabel set by ${what}: the id has that name on every line`, async (t) => {
    let mixin: Logger
    const { lines, call } = await setting(t, options, (app, ctx) => {
      mixin = pino({ mixin: ctx.mixin })
      app.get('/', async (request) => {
        request.log.info('request.log')
        app.log.info('app.log')
        mixin = pino({ mixin: ctx.mixin }, lines)
        mixin.info('mixin')
        return 'ok'
      })
    })
    await call()
    await lines.until('request completed')
    for (const message of ['incoming request', 'request.log', 'app.log', 'mixin', 'request completed']) {
      t.match(lines.one(message), { trace: 'id-1' }, message)
      t.notOk('reqId' in lines.one(message), message)
    }
  })
}

t.test('disableRequestLogging: Fastify logs nothing, and our lines are complete', async (t) => {
  const { lines, call } = await setting(t, (lines) => ({ logger: { stream: lines }, disableRequestLogging: true }), (app) => {
    app.get('/', async (request) => {
      request.log.info('mine')
      return 'ok'
    })
  })
  await call()
  t.same(ours(lines.one('mine')), whole)
  t.notMatch(lines.raw.join(''), /incoming request|request completed/)
})

t.test('logLevel of a route and of a plugin apply to request.log and ctx.log', async (t) => {
  const { lines, call } = await setting(t, plainLogger, (app, ctx) => {
    const say = (name: string) => async (request: { readonly log: FastifyBaseLogger }) => {
      request.log.debug(`${name} request.log debug`)
      ctx.log.debug(`${name} ctx.log debug`)
      request.log.info(`${name} request.log info`)
      app.log.debug(`${name} app.log debug`)
      return 'ok'
    }
    app.get('/quiet', { logLevel: 'warn' }, say('quiet'))
    app.get('/loud', { logLevel: 'debug' }, say('loud'))
    app.register(async (app) => { app.get('/plugin', say('plugin')) }, { logLevel: 'debug' })
  })
  await call('/quiet')
  await call('/loud')
  await call('/plugin')
  await lines.until('request completed', 2)
  for (const name of ['loud', 'plugin']) {
    t.same(ours(lines.one(`${name} request.log debug`)), whole)
    t.same(ours(lines.one(`${name} ctx.log debug`)), whole)
    t.same(ours(lines.one(`${name} request.log info`)), whole)
  }
  t.notMatch(lines.raw.join(''), /quiet request|quiet ctx|app\.log debug/)
  t.equal(lines.all('request completed').length, 2, 'the quiet route logs nothing')
})

t.test('a child logger factory of the application', async (t) => {
  const say = (app: FastifyInstance): void => {
    app.get('/', async (request) => {
      request.log.info('mine')
      return 'ok'
    })
  }

  for (const by of [...fastifyHas('childLoggerFactory') ? ['the server option'] : [], 'setChildLoggerFactory']) {
    t.test(`set by ${by}: its bindings stay, and a field that it binds itself is not written twice`, async (t) => {
      const childLoggerFactory: NonNullable<FastifyServerOptions['childLoggerFactory']> = (logger, bindings, options) => logger.child({ ...bindings, tenant: 'of the factory', more: 1 }, options)
      const { lines, call } = await setting(t, (lines) => ({ logger: { stream: lines }, ...(by === 'the server option' ? { childLoggerFactory } : {}) }), (app) => {
        if (by !== 'the server option') app.setChildLoggerFactory(childLoggerFactory)
        say(app)
      })
      await call()
      await lines.until('request completed')
      for (const message of ['mine', 'request completed']) t.match(lines.one(message), { ...whole, tenant: 'of the factory', more: 1 })
    })
  }

  for (const [what, bind] of Object.entries<(logger: FastifyBaseLogger, bindings: object) => FastifyBaseLogger>({
    'without an id': (logger) => logger.child({ shared: true, name: 'svc' }),
    "with the first request's id": (logger, bindings) => logger.child({ ...bindings, shared: true })
  })) {
    t.test(`one logger for all requests, bound ${what}: a line never has a field of another request`, async (t) => {
      let shared: FastifyBaseLogger | undefined
      const gates = { A: gate(), B: gate() }
      const { lines, call } = await setting(t, (lines) => ({ logger: { stream: lines } }), (app, ctx) => {
        app.setChildLoggerFactory((logger, bindings) => (shared ??= bind(logger, bindings)))
        app.get('/', async (request) => {
          request.log.info('arrived')
          await gates[ctx.require('tenant') as 'A' | 'B'].promise
          request.log.info(`of ${ctx.get('tenant')}`)
          return 'ok'
        })
      })
      // If an id equals a value that the logger has bound, the logger must not be taken for that request's.
      const a = call('/', { 'x-request-id': 'svc', 'x-tenant-id': 'A', 'x-user': 'ann' })
      await lines.until('arrived')
      const b = call('/', { 'x-request-id': 'other', 'x-tenant-id': 'B', 'x-user': 'bob' })
      await lines.until('arrived', 2)
      gates.B.open()
      await b
      gates.A.open()
      await a
      await lines.until('request completed', 2)
      t.match(lines.one('of A'), { shared: true, tenant: 'A', user: 'ann' })
      t.match(lines.one('of B'), { shared: true, tenant: 'B', user: 'bob' })
      t.same(lines.all('request completed').map(({ tenant }) => tenant as unknown), ['B', 'A'])
      shared!.info('outside')
      t.notOk('tenant' in lines.one('outside'))
    })
  }
})

t.test('request.log.setBindings() after the first line applies to later lines', async (t) => {
  const { lines, call } = await setting(t, plainLogger, (app) => {
    app.get('/', async (request) => {
      const log = request.log as Logger
      log.info('before')
      log.setBindings({ step: 1 })
      log.info('after')
      app.log.info('other logger')
      app.log.info('other logger again')
      return 'ok'
    })
  })
  await call()
  await lines.until('request completed')
  t.notOk('step' in lines.one('before'))
  t.same({ ...ours(lines.one('after')), step: lines.one('after').step as unknown }, { ...whole, step: 1 })
  t.equal(lines.one('request completed').step, 1)
  t.notOk('step' in lines.one('other logger again'))
})

t.test("options of the application's pino still work", async (t) => {
  /** The lines that one request writes with a logger with these options. */
  async function written (t: Tap, logger: object, say: (request: { readonly log: FastifyBaseLogger }, ctx: Ctx) => void = () => {}): Promise<Lines> {
    const { lines, call } = await setting(t, (lines) => ({ logger: { stream: lines, ...logger } }), (app, ctx) => {
      app.get('/', async (request) => {
        request.log.info({ order: { total: 3 } }, 'mine')
        app.log.info('app.log')
        say(request, ctx)
        return 'ok'
      })
    })
    await call()
    await lines.until('request completed')
    return lines
  }

  t.test('redact: applies to our fields', async (t) => {
    const lines = await written(t, { redact: ['tenant', 'order.total'] })
    t.match(lines.one('mine'), { ...whole, tenant: '[Redacted]', order: { total: '[Redacted]' } })
    t.equal(lines.one('request completed').tenant, '[Redacted]')
  })

  t.test('redact with remove: the field is absent', async (t) => {
    const lines = await written(t, { redact: { paths: ['tenant'], remove: true } })
    t.notOk('tenant' in lines.one('mine'))
    t.equal(lines.one('mine').user, 'ada')
  })

  t.test('redact inside a field: the value itself does not change', async (t) => {
    const ctx = createContext({ user: key<User>({ log: true }) })
    const lines = new Lines(t)
    const app = Fastify({ logger: { stream: lines, redact: ['user.secret'] } })
    await app.register(ctx.plugin)
    app.get('/', async (request) => {
      ctx.set('user', userOf('ada'))
      request.log.info('mine')
      return ctx.require('user')
    })
    const { url } = await listen(t, app)
    t.same(await (await fetch(url)).json(), userOf('ada'))
    t.same(lines.one('mine').user, { id: 'ada', secret: '[Redacted]' })
  })

  t.test('serializers: apply to our fields, to req and to err', async (t) => {
    const lines = await written(t, { serializers: { tenant: (tenant: string) => tenant.toUpperCase(), req: () => 'a request', err: () => 'an error' } }, (request) => {
      request.log.error(new Error('broken'))
    })
    t.same(ours(lines.one('mine')), { ...whole, tenant: 'ACME' })
    t.match(lines.one('incoming request'), { req: 'a request' })
    t.match(lines.one('broken'), { ...whole, tenant: 'ACME', err: 'an error' })
  })

  t.test('formatters.bindings: does not apply to our fields, as with any child', async (t) => {
    const lines = await written(t, { formatters: { bindings: (bindings: object) => ({ ...bindings, pid: undefined, from: 'bindings' }) } })
    t.match(lines.one('mine'), { ...whole, from: 'bindings' })
  })

  t.test('formatters.level', async (t) => {
    const lines = await written(t, { formatters: { level: (severity: string) => ({ severity }) } })
    t.match(lines.one('mine'), { ...whole, severity: 'info' })
  })

  t.test('formatters.log: a field that it adds under our name is not written twice', async (t) => {
    const lines = await written(t, { formatters: { log: (object: object) => ({ ...object, tenant: 'of the formatter', formatted: true }) } })
    t.match(lines.one('mine'), { ...whole, formatted: true, order: { total: 3 } })
    t.equal(lines.one('app.log').tenant, 'acme')
  })

  t.test('formatters.log: receives the fields that the line itself has', async (t) => {
    const lines = await written(t, { formatters: { log: ({ tenant, ...object }: { tenant?: string }) => (tenant === undefined ? object : { ...object, tenant: `${tenant}!` }) } }, (request) => {
      request.log.info({ tenant: 'explicit' }, 'explicit')
    })
    t.match(lines.one('explicit'), { ...whole, tenant: 'explicit!' })
  })

  t.test('formatters.log that returns undefined', async (t) => {
    const lines = await written(t, { formatters: { log: () => undefined } })
    t.same(ours(lines.one('mine')), whole)
  })

  t.test('a mixin of the application: a field that it adds under our name is not written twice', async (t) => {
    let seen: unknown
    const mixin = (_object: object, level: number, logger: Logger): object => {
      seen = logger
      return { tenant: 'of the mixin', mixed: level }
    }
    const lines = await written(t, { mixin }, (request) => { request.log.info({ tenant: 'explicit' }, 'explicit') })
    t.match(lines.one('mine'), { ...whole, mixed: 30 })
    t.match(lines.one('explicit'), { ...whole, tenant: 'explicit', mixed: 30 })
    t.type((seen as Logger).info, 'function')
  })

  t.test('a mixin of the application that calls ctx.mixin', async (t) => {
    const ctx = makeContext()
    const lines = new Lines(t)
    const app = Fastify({ logger: { stream: lines, mixin: () => ({ ...ctx.mixin(), mixed: true }) } })
    await app.register(ctx.plugin)
    app.get('/', async (request) => {
      request.log.info('mine')
      return 'ok'
    })
    const { url } = await listen(t, app)
    await fetch(url, { headers: { 'x-request-id': 'id-1', 'x-tenant-id': 'acme' } })
    t.match(lines.one('mine'), { reqId: 'id-1', tenant: 'acme', mixed: true })
  })

  t.test('mixinMergeStrategy', async (t) => {
    const lines = await written(t, { mixin: () => ({ order: 'of the mixin' }), mixinMergeStrategy: (object: object, mixed: object) => ({ ...object, ...mixed }) })
    t.match(lines.one('mine'), { ...whole, order: 'of the mixin' })
  })

  t.test('nestedKey: our fields are outside it, and fields of the line with our names stay inside', async (t) => {
    for (const more of [{}, { formatters: { log: (object: object) => object } }, { mixin: () => ({ tenant: 'of the mixin' }) }]) {
      const lines = await written(t, { nestedKey: 'payload', ...more }, (request) => { request.log.info({ tenant: 'x', user: 'y' }, 'explicit') })
      t.match(lines.one('mine'), { ...whole, payload: { order: { total: 3 } } })
      t.match(lines.one('explicit'), { ...whole, payload: { tenant: 'x', user: 'y' } })
    }
  })

  t.test('messageKey, errorKey and base: null', async (t) => {
    const lines = await written(t, { messageKey: 'message', errorKey: 'failure', base: null }, (request) => { request.log.error(new Error('broken')) })
    t.same(ours(lines.one('mine', 'message')), whole)
    t.match(lines.one('broken', 'message'), { ...whole, failure: { message: 'broken' } })
    t.notOk('pid' in lines.one('mine', 'message'))
  })

  t.test('a base whose nested objects contain our names', async (t) => {
    const lines = await written(t, { base: { other: { user: 'nested' } } })
    t.match(lines.one('mine'), { ...whole, other: { user: 'nested' } })
  })

  t.test('onChild is called only for children that the application creates', async (t) => {
    let children = 0
    await written(t, { onChild: () => { children++ } }, (request) => { request.log.child({}) })
    t.equal(children, 2, 'the child that Fastify creates for the request, and its child')
  })

  t.test('msgPrefix', async (t) => {
    const lines = await written(t, { msgPrefix: '[app] ' }, (request) => { request.log.child({}, { msgPrefix: '[child] ' }).info('twice') })
    t.same(ours(lines.one('[app] mine')), whole)
    t.same(ours(lines.one('[app] [child] twice')), whole)
  })

  t.test('customLevels', async (t) => {
    const lines = await written(t, { customLevels: { notice: 35 } }, (request) => { (request.log as unknown as { notice: (message: string) => void }).notice('noticed') })
    t.match(lines.one('noticed'), { ...whole, level: 35 })
  })

  t.test('hooks.logMethod', async (t) => {
    const lines = await written(t, {
      hooks: { logMethod (this: Logger, args: [string], method: (...args: unknown[]) => void) { method.apply(this, [{ hooked: true }, ...args.slice(-1)]) } }
    })
    t.match(lines.one('mine'), { ...whole, hooked: true })
  })
})

t.test('multistream: each stream gets the lines of its level with the fields', async (t) => {
  const ctx = makeContext()
  const all = new Lines(t)
  const errors = new Lines(t)
  const app = Fastify({ loggerInstance: pino({}, pino.multistream([{ level: 'info', stream: all }, { level: 'error', stream: errors }])) as FastifyBaseLogger })
  await app.register(ctx.plugin)
  app.get('/', async (request) => {
    request.log.info('fine')
    request.log.error('broken')
    return 'ok'
  })
  const { url } = await listen(t, app)
  await fetch(url, { headers: { 'x-request-id': 'id-1', 'x-tenant-id': 'acme' } })
  t.match(all.one('fine'), { reqId: 'id-1', tenant: 'acme' })
  t.match(all.one('broken'), { reqId: 'id-1', tenant: 'acme' })
  t.match(errors.one('broken'), { reqId: 'id-1', tenant: 'acme' })
  t.equal(errors.raw.length, 1)
})

t.test('a field of the line itself wins, once, on every logger', async (t) => {
  let module: Logger
  const { lines, call } = await setting(t, (lines, ctx) => {
    module = pino({ mixin: ctx.mixin }, lines)
    return plainLogger(lines)
  }, (app) => {
    const child = app.log.child({ tenant: 'of the child' })
    app.get('/', async (request) => {
      request.log.info({ tenant: 'x' }, 'request.log')
      app.log.info({ reqId: 'x', tenant: 'x', user: null }, 'app.log')
      module.info({ tenant: 'x' }, 'mixin')
      module.child({ tenant: 'of the child' }).info('child of mixin')
      child.info('child')
      child.info({ tenant: undefined, more: 1 }, 'undefined says nothing')
      request.log.info('after')
      return 'ok'
    })
  })
  await call()
  await lines.until('request completed')
  t.same(ours(lines.one('request.log')), { ...whole, tenant: 'x' })
  t.same(ours(lines.one('app.log')), { reqId: 'id-1', tenant: 'x', user: null }, 'except over the request id')
  t.same(ours(lines.one('mixin')), { ...whole, tenant: 'x' })
  t.same(ours(lines.one('child of mixin')), { ...whole, tenant: 'of the child' })
  t.same(ours(lines.one('child')), { ...whole, tenant: 'of the child' })
  t.same(ours(lines.one('undefined says nothing')), { ...whole, tenant: 'of the child' })
  t.same(ours(lines.one('after')), whole)
})

t.test('a value set by requestContext.set() is on the lines', async (t) => {
  // Code written for that package declares its keys there.
  const legacy = requestContext as unknown as { set: (name: string, value: unknown) => void }
  const { lines, call } = await setting(t, plainLogger, (app) => {
    app.get('/', async (request) => {
      request.log.info('before')
      legacy.set('tenant', 'other')
      request.log.info('after')
      return 'ok'
    })
  })
  await call()
  await lines.until('request completed')
  t.equal(lines.one('before').tenant, 'acme')
  t.equal(lines.one('after').tenant, 'other')
  t.equal(lines.one('request completed').tenant, 'other')
})

t.test('log mappers', async (t) => {
  /** The log lines of a request whose key `thing` has this mapper. */
  async function mapped (t: Tap, log: (value: string) => unknown): Promise<Lines> {
    const ctx = createContext({ tenant: key<string>({ seed: () => 'acme', log: true }), thing: key<string>({ seed: () => 'private', log }) })
    const lines = new Lines(t)
    const app = Fastify({ logger: { stream: lines } })
    await app.register(ctx.plugin)
    app.get('/', async (request) => {
      request.log.info('first')
      request.log.info('second')
      app.log.info('app.log')
      pino({ mixin: ctx.mixin }, lines).info('mixin')
      return 'ok'
    })
    const { url } = await listen(t, app)
    t.equal((await fetch(url)).status, 200)
    await lines.until('request completed')
    for (const message of ['first', 'second', 'app.log', 'mixin', 'request completed']) t.equal(lines.one(message).tenant, 'acme', message)
    return lines
  }

  t.test('a mapper that throws drops its field with one warning, which does not contain the value', async (t) => {
    const told = warnings(t, 'FST_CTX_LOG_MAPPER')
    const lines = await mapped(t, (value) => { throw new Error(`cannot map ${value}`) })
    t.notMatch(lines.raw.join(''), /thing|private/)
    await turns()
    t.equal(told.length, 1)
    t.match(told[0]!.message, /'thing'/)
    t.notMatch(`${told[0]!.message} ${(told[0] as { detail?: string }).detail}`, /private/)
    t.match((told[0] as { detail?: string }).detail, /correlate\.test/, 'the place of the throw')
  })

  t.test('undefined and functions: no field', async (t) => {
    t.notMatch((await mapped(t, () => undefined)).raw.join(''), /thing/)
    t.notMatch((await mapped(t, () => () => 1)).raw.join(''), /thing/)
  })

  t.test('null, false and 0 are fields', async (t) => {
    for (const value of [null, false, 0]) t.equal((await mapped(t, () => value)).one('second').thing, value)
  })

  t.test('an object, a bigint and a circular object', async (t) => {
    t.same((await mapped(t, (value) => ({ length: value.length }))).one('second').thing, { length: 7 })
    t.equal((await mapped(t, () => 7n)).one('second').thing, 7)
    const circular: Record<string, unknown> = { a: 1 }
    circular.self = circular
    const lines = await mapped(t, () => circular)
    for (const message of ['first', 'app.log', 'mixin']) t.match(lines.one(message).thing, { a: 1, self: '[Circular]' }, message)
  })

  t.test('a mapper is called once per value, not per line', async (t) => {
    let calls = 0
    await mapped(t, () => ++calls)
    t.equal(calls, 1)
  })
})

t.test('log lines after the end of the request', async (t) => {
  /** Lines written after the request has ended, by work that it left running. */
  async function late (t: Tap, log: (ctx: LateCtx, app: FastifyInstance, request: { readonly log: FastifyBaseLogger }, lines: Lines) => void): Promise<Lines> {
    const ctx = makeLate()
    const lines = new Lines(t)
    const app: FastifyInstance = Fastify({ logger: { stream: lines } })
    await app.register(ctx.plugin)
    const over = gate()
    const done = gate()
    app.get('/', async (request) => {
      ctx.set('user', userOf('ada'))
      const within = ctx.bind(() => { log(ctx, app, request, lines) })
      over.promise.then(within).then(done.open, t.error)
      return 'ok'
    })
    const { url } = await listen(t, app)
    await fetch(url, { headers: { 'x-request-id': 'id-1', 'x-tenant-id': 'acme' } })
    await lines.until('request completed')
    await turns()
    over.open()
    await done.promise
    return lines
  }
  const makeLate = () => createContext({ tenant: key<string>({ seed: (request) => request.headers['x-tenant-id'], log: true }), user: key<User>({ log: true }), big: key<bigint>({ seed: () => 7n, log: true }) })
  type LateCtx = ReturnType<typeof makeLate>
  const kept = { reqId: 'id-1', tenant: 'acme', user: userOf('ada'), big: 7 }

  t.test('carry the fields, also of objects, although the values are gone', async (t) => {
    let value: unknown = 'not read'
    const lines = await late(t, (ctx, app, request, lines) => {
      value = ctx.get('user')
      request.log.info('request.log')
      app.log.child({ late: true }).info('child of app.log')
      ctx.log.info('ctx.log')
      pino({ mixin: ctx.mixin }, lines).info('mixin')
    })
    t.equal(value, undefined)
    for (const message of ['request.log', 'child of app.log', 'ctx.log', 'mixin']) t.match(lines.one(message), kept, message)
  })

  t.test('of a ctx.run opened after the end belong to a root of its own', async (t) => {
    const lines = await late(t, (ctx, app, request) => {
      ctx.run({ user: userOf('eve') }, () => {
        app.log.info('app.log')
        request.log.info('request.log')
        ctx.run({}, () => { app.log.info('deeper') })
      })
    })
    for (const message of ['app.log', 'request.log', 'deeper']) t.match(lines.one(message), { user: userOf('eve'), tenant: undefined, big: undefined }, message)
    t.equal(lines.one('request.log').reqId, lines.one('app.log').reqId, 'all fields of a line come from one scope')
    t.equal(lines.one('app.log').reqId, lines.one('deeper').reqId)
    t.not(lines.one('app.log').reqId, 'id-1')
  })
})

for (const disableRequestLogging of [false, true]) {
  t.test(`log lines after the end: a circular field is written as pino writes it, ${disableRequestLogging ? 'even if no earlier line had it' : 'as on the lines before'}`, async (t) => {
    const ctx = createContext({ tenant: key<string>({ seed: () => 'acme', log: true }), ring: key<object>({ log: true }) })
    const lines = new Lines(t)
    const app = Fastify({ logger: { stream: lines }, disableRequestLogging })
    await app.register(ctx.plugin)
    const ended = gate()
    let log!: () => void
    app.get('/', async () => {
      const ring: Record<string, unknown> = {}
      ring.self = ring
      ctx.set('ring', ring)
      ctx.onEnd(ended.open)
      log = ctx.bind(() => { app.log.child({ late: true }).info('late') })
      return 'ok'
    })
    const { url } = await listen(t, app)
    await fetch(url)
    await ended.promise
    await turns()
    log()
    t.equal(lines.one('late').tenant, 'acme')
    t.same(lines.one('late').ring, { self: '[Circular]' })
  })
}

t.test('two contexts on one logger: a line carries the fields of both, and the request id once', async (t) => {
  const jobs = createContext({ job: key<string>({ log: true }) })
  const { lines, call } = await setting(t, plainLogger, (app, ctx) => {
    app.register(jobs.plugin)
    app.get('/', async (request) => {
      jobs.set('job', 'outer')
      request.log.info('both')
      jobs.run({ job: 'inner' }, () => {
        app.log.info('inner of one')
        ctx.run({ tenant: 'inner' }, () => { app.log.info('inner of both') })
      })
      ctx.set('tenant', 'changed')
      request.log.info('changed')
      return 'ok'
    })
  })
  await call()
  await lines.until('request completed')
  for (const [message, fields] of Object.entries({
    both: { tenant: 'acme', job: 'outer' },
    'inner of one': { tenant: 'acme', job: 'inner' },
    'inner of both': { tenant: 'inner', job: 'inner' },
    changed: { tenant: 'changed', job: 'outer' },
    'request completed': { tenant: 'changed', job: 'outer' }
  })) t.match(lines.one(message), { ...whole, ...fields }, message)
})

t.test('a root in a request: app.log and mixins carry its own id, request.log the id of the request', async (t) => {
  const { lines, call } = await setting(t, plainLogger, (app, ctx) => {
    app.get('/', async (request) => {
      ctx.run({ requestId: 'job', tenant: 'other' }, () => {
        app.log.info('app.log')
        request.log.info('request.log')
      }, { inherit: false })
      return 'ok'
    })
  })
  await call()
  t.same(ours(lines.one('app.log')), { reqId: 'job', tenant: 'other', user: undefined })
  t.same(ours(lines.one('request.log')), whole)
})

/** What a client sends to hide who acts. */
const BODY = { actor: { user: 'forged' }, reason: 'forged', reqId: 'forged' }

t.test('an impersonation: actor, reason and id are on every line once, and no logged value replaces them', async (t) => {
  const { lines, call } = await setting(t, (lines, ctx) => ({ logger: { stream: lines, mixin: ctx.mixin } }), (app, ctx) => {
    const child = app.log.child({ reason: 'of the child' })
    app.get('/', async (request) => {
      const mixin = pino({ mixin: ctx.mixin }, lines)
      request.log.info(BODY, 'body before')
      ctx.impersonate({ user: userOf('eve') }, { reason: 'ticket 4711' }, () => {
        request.log.info('within')
        mixin.info('mixin')
        for (const [name, logger] of Object.entries({ 'request.log': request.log, 'app.log': app.log, mixin, 'child of the body': request.log.child(BODY) })) {
          logger.info({ ...BODY, order: 1 }, `body by ${name}`)
        }
        child.info('child')
      })
      request.log.info('after')
      return 'ok'
    })
  })
  await call()
  const acted = { ...whole, user: 'eve', actor: { user: 'ada' } }
  for (const message of ['within', 'mixin', 'child']) t.match(lines.one(message), { ...acted, reason: 'ticket 4711' }, message)
  for (const name of ['request.log', 'app.log', 'mixin', 'child of the body']) t.match(lines.one(`body by ${name}`), { ...acted, reason: 'ticket 4711', order: 1 }, name)
  t.match(lines.one('body before'), { reqId: 'id-1', actor: { user: 'forged' }, reason: 'forged' }, 'outside an impersonation these are ordinary names')
  t.same(ours(lines.one('after')), whole)
  t.notOk('actor' in lines.one('after') || 'reason' in lines.one('after'))
})

t.test('two applications on one loggerInstance', async (t) => {
  const kAsJson = (pino.symbols as unknown as { asJsonSym: symbol }).asJsonSym
  type Symbolic = Record<symbol, (...args: unknown[]) => unknown>

  /** An application on this logger. */
  async function appOn (base: Logger): Promise<{ readonly app: FastifyInstance, readonly ctx: Ctx }> {
    const ctx = makeContext()
    const app: FastifyInstance = Fastify({ loggerInstance: base as FastifyBaseLogger })
    await app.register(ctx.plugin)
    app.get('/', async () => {
      base.info('base')
      return 'ok'
    })
    await app.ready()
    return { app, ctx }
  }
  const call = (app: FastifyInstance, id: string): Promise<unknown> => app.inject({ url: '/', headers: { 'x-request-id': id, 'x-tenant-id': id } })

  t.test('the logger and its mixin are restored when the last of them has closed', async (t) => {
    for (const options of [{}, { mixin: () => ({ mixed: true, tenant: 'mixed' }) }]) {
      const lines = new Lines(t)
      const base = pino(options, lines)
      const before = Object.getOwnPropertyDescriptors(base)
      const a = await appOn(base)
      const b = await appOn(base)
      await call(a.app, 'A')
      await call(b.app, 'B')
      await a.app.close()
      await call(b.app, 'C')
      t.match(lines.all('base').map(({ tenant }) => tenant as unknown), ['A', 'B', 'C'])
      await b.app.close()
      t.same(Object.getOwnPropertyDescriptors(base), before)
      lines.raw = []
      base.info('after')
      b.ctx.run({ tenant: 'run' }, () => { base.info('after, in a run') })
      for (const message of ['after', 'after, in a run']) t.equal(lines.one(message).tenant, 'mixin' in options ? 'mixed' : undefined)
      await (await appOn(base)).app.close()
    }
  })

  t.test('a replacement that another tool made on top of ours stays, and calls the original', async (t) => {
    const lines = new Lines(t)
    const base = pino({ mixin: () => ({ mixed: true }) }, lines)
    const { app, ctx } = await appOn(base)
    const symbolic = base as unknown as Symbolic
    const replacedByUs = symbolic[kAsJson]!
    function tool (this: unknown, ...args: unknown[]): unknown {
      return replacedByUs.apply(this, [{ ...args[0] as object, tool: true }, ...args.slice(1)])
    }
    symbolic[kAsJson] = tool
    ctx.run({ tenant: 'run' }, () => { base.info('before') })
    t.match(lines.one('before'), { tenant: 'run', tool: true, mixed: true })
    await app.close()
    t.equal(symbolic[kAsJson], tool)
    ctx.run({ tenant: 'run' }, () => { base.info('after') })
    t.match(lines.one('after'), { tenant: undefined, tool: true, mixed: true })
  })
})
