import { spawnSync } from 'node:child_process'
import { tracingChannel } from 'node:diagnostics_channel'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import Fastify from 'fastify'
import type { FastifyBaseLogger, FastifyInstance, FastifyServerOptions } from 'fastify'
import pino, { type Logger } from 'pino'
import t from 'tap'
import { createContext, key } from '../../lib/index.ts'
import { OUTSIDE } from '../support/processes.ts'
import { fastifyHas, gate, Lines, listen, repeatedNames, turns, warnings, type Gate, type LogLine, type Tap } from '../support/support.ts'

const { streamSym, timeSym, asJsonSym, writeSym } = pino.symbols as unknown as Record<string, symbol>

type Symbolic = Record<symbol, unknown>

function makeContext () {
  return createContext({ tenant: key<string>({ seed: (request) => request.headers['x-tenant-id'], log: true }) })
}

type Ctx = ReturnType<typeof makeContext>

interface Setting { readonly app: FastifyInstance, readonly lines: Lines, readonly call: (path?: string, id?: string) => Promise<Response> }

/** An application on a socket. A request with the id A belongs to tenant A. */
async function setting (t: Tap, options: (lines: Lines) => FastifyServerOptions, routes: (app: FastifyInstance, ctx: Ctx) => void): Promise<Setting> {
  const ctx = makeContext()
  const lines = new Lines(t)
  const app: FastifyInstance = Fastify(options(lines))
  await app.register(ctx.plugin)
  routes(app, ctx)
  const { url } = await listen(t, app)
  return { app, lines, call: (path = '/', id = 'A') => fetch(url + path, { headers: { 'x-request-id': id, 'x-tenant-id': id } }) }
}

/** An application with one route, which logs. */
function logging (t: Tap, log: (logger: Logger, app: FastifyInstance) => void, options: (lines: Lines) => FastifyServerOptions = (lines) => ({ logger: { stream: lines } })): Promise<Setting> {
  return setting(t, options, (app) => {
    app.get('/', async (request) => {
      log(request.log as Logger, app)
      return 'ok'
    })
  })
}

const ID_SETTINGS: Record<string, (lines: Lines) => FastifyServerOptions> = {
  'as Fastify has it': (lines) => ({ logger: { stream: lines } }),
  'renamed by formatters.bindings': (lines) => ({ logger: { stream: lines, formatters: { bindings: ({ reqId, ...rest }: LogLine) => ({ ...rest, renamed: reqId as unknown }) } } }),
  'through a serializer': (lines) => ({ logger: { stream: lines, serializers: { reqId: (id: string) => `<${id}>` } } }),
  redacted: (lines) => ({ logger: { stream: lines, redact: ['reqId'] } }),
  removed: (lines) => ({ logger: { stream: lines, redact: { paths: ['reqId'], remove: true } } })
}

for (const factory of [false, true]) {
  for (const [what, options] of Object.entries(ID_SETTINGS)) {
    t.test(`two concurrent requests, the id ${what}${factory ? ', and renamed by a child logger factory' : ''}: each request's logger logs its own tenant wherever it writes`, async (t) => {
      const loggers = new Map<string, Logger>()
      let gates: Record<string, Gate> = {}
      const { lines, call } = await setting(t, options, (app, ctx) => {
        if (factory) app.setChildLoggerFactory((logger, { reqId, ...rest }: LogLine, options) => logger.child({ ...rest, factoryId: reqId as unknown }, options))
        app.get('/', async (request) => {
          const tenant = ctx.require('tenant')
          loggers.set(tenant, request.log as Logger)
          request.log.info('arrived')
          await gates[tenant]!.promise
          for (const [of, logger] of loggers) {
            logger.info(`${of} within ${tenant}`)
            logger.child({ part: 1 }).info(`child of ${of} within ${tenant}`)
          }
          return 'ok'
        })
      })
      for (const order of [['A', 'B'], ['B', 'A']]) {
        lines.raw = []
        gates = { A: gate(), B: gate() }
        const answers: Record<string, Promise<Response>> = { A: call('/', 'A'), B: call('/', 'B') }
        await lines.until('arrived', 2)
        for (const name of order) {
          gates[name]!.open()
          await answers[name]
        }
        await lines.until('request completed', 2)
        for (const within of order) {
          for (const of of order) for (const who of [of, `child of ${of}`]) t.equal(lines.one(`${who} within ${within}`).tenant, of, `${who} within ${within}`)
        }
        t.same(lines.all('request completed').map(({ tenant }) => tenant as unknown), order)
      }
    })
  }
}

t.test('"incoming request" of an injected request has no field of the request that injected it', async (t) => {
  const { lines, call } = await setting(t, (lines) => ({ logger: { stream: lines } }), (app) => {
    app.get('/', async () => (await app.inject({ url: '/inner', headers: { 'x-request-id': 'B', 'x-tenant-id': 'B' } })).body)
    app.get('/inner', async () => 'ok')
  })
  await call()
  await lines.until('request completed', 2)
  t.same(lines.all('incoming request').map(({ reqId, tenant }) => ({ reqId, tenant } as LogLine)), [{ reqId: 'A', tenant: undefined }, { reqId: 'B', tenant: undefined }])
  t.same(lines.all('request completed').map(({ reqId, tenant }) => ({ reqId, tenant } as LogLine)), [{ reqId: 'B', tenant: 'B' }, { reqId: 'A', tenant: 'A' }])
})

if (fastifyHas('LogController')) {
  for (const reenter of [true, false]) {
    t.test(`lines before the scope opens have no fields, also on routes declared before the plugin has loaded, with reenter: ${reenter}`, async (t) => {
      const ctx = makeContext()
      const lines = new Lines(t)
      const app: FastifyInstance = Fastify({ logger: { stream: lines } })
      app.addHook('onRequest', async (request) => { request.log.info('hook before the plugin') })
      app.register(ctx.plugin, { reenter })
      app.get('/', async () => (await app.inject({ url: '/inner', headers: { 'x-request-id': 'B', 'x-tenant-id': 'B' } })).body)
      app.get('/inner', async (request) => { request.log.info('handler'); return 'ok' })
      // A server that starts in a scope accepts connections in it.
      const { url } = await ctx.run({ tenant: 'starter' }, () => listen(t, app))
      t.equal(await (await fetch(url, { headers: { 'x-request-id': 'A', 'x-tenant-id': 'A' } })).text(), 'ok')
      t.equal((await fetch(`${url}/none`, { headers: { 'x-request-id': 'C' } })).status, 404)
      await lines.until('request completed', 3)
      for (const message of ['incoming request', 'hook before the plugin']) t.same(lines.all(message).map(({ reqId, tenant }) => [reqId, tenant] as unknown[]), [['A', undefined], ['B', undefined], ['C', undefined]], message)
      t.match(lines.one('handler'), { reqId: 'B', tenant: 'B' })
      t.same(lines.all('request completed').map(({ reqId, tenant }) => [reqId, tenant] as unknown[]), [['B', 'B'], ['A', 'A'], ['C', undefined]])
    })
  }
}

t.test('request.log of a route outside the plugin writes the fields of the scope that the route opens', async (t) => {
  const ctx = makeContext()
  const lines = new Lines(t)
  const app: FastifyInstance = Fastify({ logger: { stream: lines } })
  await app.register(async (app) => { await app.register(ctx.plugin) })
  app.get('/', async (request) => ctx.run({ tenant: 'of the run' }, () => { request.log.info('in the run'); return 'ok' }))
  const { url } = await listen(t, app)
  await fetch(url)
  t.equal(lines.one('in the run').tenant, 'of the run')
})

t.test('a tool that marks loggers and subscribes to the channel, as Sentry does, sees the mark of the logger that wrote', async (t) => {
  const kTrack = Symbol('track')
  const seen: Array<readonly [unknown, LogLine]> = []
  const channel = tracingChannel('pino_asJson')
  const subscribers = {
    end (message: object) {
      const { instance, result } = message as { instance: Symbolic, result: string }
      seen.push([instance[kTrack], JSON.parse(result) as LogLine])
    }
  } as unknown as Parameters<typeof channel.subscribe>[0]
  channel.subscribe(subscribers)
  t.teardown(() => { channel.unsubscribe(subscribers) })
  const { call } = await logging(t, (logger) => {
    logger.info('no mark')
    const tracked = logger.child({})
    ;(tracked as unknown as Symbolic)[kTrack] = 'track'
    tracked.info('tracked')
    const audit = tracked.child({ audit: true })
    ;(audit as unknown as Symbolic)[kTrack] = 'ignore'
    audit.info('ignored')
  })
  await call()
  const marks = seen.filter(([, { msg }]) => /mark|tracked|ignored/.test(String(msg)))
  t.same(marks.map(([mark, { msg, tenant }]) => [msg, mark, tenant] as unknown[]), [['no mark', undefined, 'A'], ['tracked', 'track', 'A'], ['ignored', 'ignore', 'A']])
})

t.test("a tool that overrides a method of a child sees the child's own marks, and its lines have the fields", async (t) => {
  const kMark = Symbol('mark')
  for (const method of [asJsonSym!, writeSym!]) {
    const seen: unknown[] = []
    const { lines, call } = await logging(t, (logger) => {
      const child = logger.child({ part: 1 }) as unknown as Symbolic
      const before = child[method] as (...args: unknown[]) => unknown
      child[method] = function (this: Symbolic, ...args: unknown[]) {
        seen.push(this[kMark], this === child)
        return before.apply(this, args)
      }
      child[kMark] = 'mine'
      ;(child as unknown as Logger).info('line')
    })
    await call()
    t.same(seen, ['mine', true])
    t.match(lines.one('line'), { reqId: 'A', tenant: 'A', part: 1 })
  }
})

t.test("pino's metadata stream: lastLogger is the user's logger", async (t) => {
  const wrote: Array<readonly [unknown, string]> = []
  const stream = { [Symbol.for('pino.metadata')]: true, lastLogger: undefined as unknown, write (line: string) { wrote.push([this.lastLogger, line]) } }
  let child: Logger | undefined
  const { app, call } = await logging(t, (logger, app) => {
    child = logger.child({ part: 1 })
    child.info('by the child')
    app.log.info('by app.log')
  }, () => ({ logger: { stream } }))
  await call()
  const writer = (text: string): readonly [unknown, string] => wrote.find(([, line]) => line.includes(text))!
  t.equal(writer('by the child')[0], child)
  t.equal(writer('by app.log')[0], app.log)
  t.match(JSON.parse(writer('by the child')[1]), { reqId: 'A', tenant: 'A', part: 1 })
})

t.test('a child with its own stream, time or asJson uses them', async (t) => {
  const own: string[] = []
  const { lines, call } = await logging(t, (logger) => {
    const streaming = logger.child({}) as unknown as Symbolic
    streaming[streamSym!] = { write (line: string) { own.push(line) } }
    ;(streaming as unknown as Logger).info('to its own stream')
    const timing = logger.child({}) as unknown as Symbolic
    timing[timeSym!] = () => ',"time":"mine"'
    ;(timing as unknown as Logger).info('its own time')
    const formatting = logger.child({}) as unknown as Symbolic
    formatting[asJsonSym!] = (_object: object, message: string) => `${JSON.stringify({ msg: message, own: true })}\n`
    ;(formatting as unknown as Logger).info('its own asJson')
  })
  await call()
  t.match(own.map((line) => JSON.parse(line) as LogLine), [{ msg: 'to its own stream', reqId: 'A', tenant: 'A' }])
  t.notMatch(lines.raw.join(''), /to its own stream/)
  t.match(lines.one('its own time'), { time: 'mine', tenant: 'A' })
  t.same(lines.one('its own asJson'), { msg: 'its own asJson', own: true })
})

/** Like pino-caller: a proxy whose `asJson` adds the source line of the code that logs. */
function withCaller (logger: Logger): Logger {
  function asJson (this: object, ...[object, ...rest]: [LogLine | undefined, ...unknown[]]): unknown {
    const caller = new Error().stack!.split('\n').filter((line) => !line.includes('node_modules'))[2]
    return (logger as unknown as Record<symbol, (...args: unknown[]) => unknown>)[asJsonSym!]!.apply(this, [{ ...object, caller }, ...rest])
  }
  return new Proxy(logger, { get: (target, name) => name === asJsonSym ? asJson : Reflect.get(target, name) as unknown })
}

t.test('a proxied loggerInstance, as pino-caller creates one, names the code that logs, and its lines have the fields', async (t) => {
  function userCode (logger: Logger, app: FastifyInstance): void {
    logger.info('by request.log')
    app.log.info('by app.log')
    logger.child({ part: 1 }).info('by a child')
  }
  const { lines, call } = await logging(t, userCode, (lines) => ({ loggerInstance: withCaller(pino({}, lines)) as FastifyBaseLogger }))
  await call()
  for (const message of ['by request.log', 'by app.log', 'by a child']) {
    const line = lines.one(message)
    t.match(line, { reqId: 'A', tenant: 'A' })
    t.match(line.caller, /userCode .*log-tools\.test/)
  }
})

t.test('loggerInstance: its own lines and those of its other children have the fields of the request that writes them', async (t) => {
  let root!: Logger
  let early!: Logger
  const { app, lines, call } = await logging(t, () => {
    root.info('base')
    early.info('module')
    root.child({ module: 'late' }).info('late module')
  }, (lines) => {
    root = pino({ base: null }, lines)
    early = root.child({ module: 'early' })
    return { loggerInstance: root as FastifyBaseLogger }
  })
  await call()
  t.match(lines.one('base'), { reqId: 'A', tenant: 'A' })
  t.match(lines.one('module'), { reqId: 'A', tenant: 'A', module: 'early' })
  t.match(lines.one('late module'), { reqId: 'A', tenant: 'A', module: 'late' })
  root.info('outside')
  t.notOk('tenant' in lines.one('outside'))
  await app.close()
  t.notOk(Object.hasOwn(root, asJsonSym!), 'as before')
})

t.test('an enumerable property of Object.prototype is on no log line', async (t) => {
  const { lines, call } = await logging(t, (logger) => {
    // eslint-disable-next-line no-extend-native -- the test covers other code that does this
    Object.defineProperty(Object.prototype, 'polluted', { value: 'x', enumerable: true, configurable: true })
    try {
      logger.info('line')
      logger.info({ part: 1 }, 'with an object')
      logger.child({ part: 1 }).info('child')
    } finally {
      Reflect.deleteProperty(Object.prototype, 'polluted')
    }
  })
  await call()
  for (const message of ['line', 'with an object', 'child']) {
    t.match(lines.one(message), { reqId: 'A', tenant: 'A' })
    t.notOk('polluted' in lines.one(message))
  }
})

t.test('a getter in a logged object is called as often as pino calls it, and its error reaches the code that logs', async (t) => {
  const seen: Record<string, unknown[]> = { ours: [], bare: [] }
  function writeLines (who: string, logger: Logger): void {
    for (const name of ['err', 'tenant', 'reqId', 'other']) {
      let calls = 0
      logger.info({ get [name] () { return `got ${++calls}` } }, name)
      seen[who]!.push([name, calls])
      try {
        logger.info({ get [name] () { throw new Error(`from ${name}`) } }, name)
        seen[who]!.push([name, 'nothing thrown'])
      } catch (error) {
        seen[who]!.push([name, (error as Error).message])
      }
    }
  }
  const { lines, call } = await logging(t, (logger) => { writeLines('ours', logger) })
  await call()
  writeLines('bare', pino({}, { write () {} }))
  // A field that cannot be replaced is dropped, so its getter is not called.
  const expected = seen.bare!.map((row) => (row as unknown[])[0] !== 'reqId' ? row : ['reqId', (row as unknown[])[1] === 1 ? 0 : 'nothing thrown'])
  t.same(seen.ours, expected)
  t.match(lines.one('tenant'), { reqId: 'A', tenant: 'got 1' })
  t.match(lines.one('err'), { reqId: 'A', tenant: 'A', err: 'got 1' })
  t.same(lines.raw.flatMap(repeatedNames), [])
})

t.test('lines after the end, by existing and new children, do not need the original class instance for a serializer', async (t) => {
  class User {
    readonly #id: string
    constructor (id: string) { this.#id = id }
    getId (): string { return this.#id }
  }
  const ctx = createContext({ user: key<User>({ seed: () => new User('ada'), log: true }), tenant: key<string>({ seed: () => 'acme', log: true }) })
  const lines = new Lines(t)
  const app: FastifyInstance = Fastify({
    logger: { stream: lines, serializers: { user: (user: User) => user.getId() }, mixin: () => ({ mixed: true }), formatters: { log: (object) => ({ ...object, formatted: true }) } }
  })
  await app.register(ctx.plugin)
  let late!: () => unknown
  app.get('/', async (request) => {
    const old = request.log.child({ part: 'old' })
    old.info('at the time')
    late = ctx.bind(() => {
      request.log.info('late: request.log')
      old.info('late: old child')
      old.child({ more: 1 }).info('late: fresh child')
      app.log.child({ part: 'fresh' }).info({ object: true }, 'late: of app.log')
      return ctx.get('user')
    })
    return 'ok'
  })
  const { url } = await listen(t, app)
  await fetch(url)
  await lines.until('request completed')
  await turns()
  t.equal(late(), undefined, 'the value is gone')
  for (const message of ['at the time', 'late: request.log', 'late: old child', 'late: fresh child', 'late: of app.log']) {
    t.match(lines.one(message), { user: 'ada', tenant: 'acme', mixed: true, formatted: true }, message)
  }
})

t.test('frozen children write lines with the fields', async (t) => {
  const { lines, call } = await logging(t, (logger, app) => {
    for (const [name, parent] of [['request.log', logger], ['app.log', app.log as Logger]] as const) Object.freeze(parent.child({ part: 1 })).info(`frozen child of ${name}`)
  })
  t.equal((await call()).status, 200)
  for (const name of ['request.log', 'app.log']) t.match(lines.one(`frozen child of ${name}`), { reqId: 'A', tenant: 'A', part: 1 })
})

t.test('a timestamp function that does not return JSON does not stop the start, and its text is written', async (t) => {
  const written: string[] = []
  const { call } = await setting(t, () => ({ logger: { timestamp: () => ',time:now', stream: { write (line: string) { written.push(line) } } } }), (app) => {
    app.get('/', async (request) => { request.log.info('line'); return 'ok' })
  })
  t.equal((await call()).status, 200)
  const line = written.find((line) => line.includes('"msg":"line"'))!
  t.match(JSON.parse(line.replace('time:now', '"time":"now"')), { time: 'now', reqId: 'A', tenant: 'A' })
})

for (const target of ['pino/file', 'pino-pretty']) {
  t.test(`a transport of Fastify's logger, ${target}: the lines of a request have the fields`, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'log-tools-'))
    t.teardown(() => { rmSync(folder, { recursive: true }) })
    const destination = join(folder, 'log')
    const { call } = await logging(t, (logger) => { logger.child({ part: 1 }).warn({ nested: { a: 1 } }, 'line') }, () => ({ logger: { transport: { target, options: { destination, ...target === 'pino-pretty' ? { colorize: false, singleLine: true } : {} } } } }))
    await call()
    let text = ''
    while (!text.includes('request completed')) {
      await wait(20)
      text = existsSync(destination) ? readFileSync(destination, 'utf8') : ''
    }
    for (const message of ['line', 'request completed']) t.match(text.split('\n').find((line) => line.includes(message)), /"reqId":"A".*"tenant":"A"/, message)
  })
}

/** Values that throw when they are written. */
const BROKEN = {
  getter: { get a () { throw new Error('private') } },
  json: { toJSON () { throw new Error('private') } },
  revoked: (() => {
    const { proxy, revoke } = Proxy.revocable({}, {})
    revoke()
    return proxy
  })()
}

for (const redacts of [false, true]) {
  t.test(`a value that throws when it is written loses its field and emits one warning, ${redacts ? 'with' : 'without'} redaction`, async (t) => {
    // The warning is emitted once per field name and process.
    const nameOf = (name: string): string => `${redacts ? 'redacted' : 'plain'}_${name}`
    const names = Object.keys(BROKEN).map(nameOf)
    const fieldWarnings = warnings(t, 'FST_CTX_LOG_FIELD')
    const mapperWarnings = warnings(t, 'FST_CTX_LOG_MAPPER')
    const circular: Record<string, unknown> = { a: 1 }
    circular.self = circular
    const values: Record<string, unknown> = { ...Object.fromEntries(Object.entries(BROKEN).map(([name, value]) => [nameOf(name), value])), circular, bigint: { a: 1n } }
    const ctx = createContext({
      ...Object.fromEntries(Object.keys(values).map((name) => [name, key({ log: true })])),
      [nameOf('mapper')]: key<string>({ seed: () => 'x', log: () => { throw new Error('private') } }),
      tenant: key<string>({ seed: () => 'acme', log: true })
    })
    const lines = new Lines(t)
    const app = Fastify({ logger: { stream: lines, ...(redacts ? { redact: [`${nameOf('getter')}.a`, `${nameOf('revoked')}.a`, 'secret'] } : {}) } })
    await app.register(ctx.plugin)
    app.get('/', async (request) => {
      for (const name in values) ctx.set(name as never, values[name] as never)
      request.log.info('first')
      app.log.info('second')
      request.log.child({ part: 1 }).info('third')
      return 'ok'
    })
    const { url } = await listen(t, app)
    t.equal((await fetch(url)).status, 200)
    await lines.until('request completed')
    await turns()
    for (const message of ['first', 'second', 'third', 'request completed']) {
      const line = lines.one(message)
      t.match(line, { tenant: 'acme', bigint: { a: 1 }, circular: { a: 1, self: '[Circular]' } }, message)
      t.same([...names, nameOf('mapper')].filter((name) => name in line), [], message)
    }
    t.same(fieldWarnings.map(({ message }) => /'(\w+)'/.exec(message)?.[1]), names)
    t.same(mapperWarnings.map(({ message }) => /'(\w+)'/.exec(message)?.[1]), [nameOf('mapper')])
    t.notMatch([...fieldWarnings, ...mapperWarnings].map((warning) => `${warning.message} ${(warning as { detail?: string }).detail}`).join(), /private/)
  })
}

t.test('"request completed" never crashes the process, even if a value throws when it is written', async (t) => {
  const lib = new URL('../../lib/index.ts', import.meta.url).href
  const child = spawnSync(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', `
    import Fastify from 'fastify'
    const { createContext, key } = await import(${JSON.stringify(lib)})
    const fail = () => { throw new Error('private') }
    const circular = {}
    circular.self = circular
    const values = { getter: { get a () { return fail() } }, json: { toJSON: fail }, serialized: 1, censored: 1, big: 1n, circular, redacted: { get a () { return fail() } } }
    const ctx = createContext({ ...Object.fromEntries(Object.keys(values).map((name) => [name, key({ log: true })])), mapped: key({ seed: () => 'x', log: () => circular }), tenant: key({ seed: () => 'acme', log: true }) })
    const app = Fastify({ logger: { serializers: { serialized: fail }, redact: { paths: ['censored', 'redacted.a'], censor: fail } } })
    await app.register(ctx.plugin)
    app.get('/', async () => { for (const name in values) ctx.set(name, values[name]); return 'ok' })
    await app.listen({ port: 0, host: '127.0.0.1' })
    const response = await fetch('http://127.0.0.1:' + app.server.address().port)
    await response.text()
    await new Promise((resolve) => setTimeout(resolve, 50))
    await app.close()
    process.exitCode = response.status === 200 ? 0 : 2
  `], { cwd: fileURLToPath(new URL('../..', import.meta.url)), env: OUTSIDE, encoding: 'utf8' })
  t.equal(child.status, 0, child.stderr)
  const completed = child.stdout.split('\n').filter((line) => line.includes('request completed')).map((line) => JSON.parse(line) as LogLine)
  t.match(completed, [{ tenant: 'acme', circular: { self: '[Circular]' }, mapped: { self: '[Circular]' }, big: 1 }])
  t.same(Object.keys(completed[0]!).filter((name) => ['getter', 'json', 'serialized', 'censored', 'redacted'].includes(name)), [])
})
