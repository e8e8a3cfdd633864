import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { isDeepStrictEqual } from 'node:util'
import Fastify, { type FastifyBaseLogger } from 'fastify'
import pino, { type DestinationStream, type LogFn, type Logger, type LoggerOptions } from 'pino'
import pretty from 'pino-pretty'
import t from 'tap'
import { createContext, key } from '../../lib/index.ts'
import { repeatedNames, type LogLine, type Tap } from '../support/support.ts'

const FIELDS = { reqId: 'id-1', tenant: 'acme', user: { id: 'ada', secret: 'hush' } }

const VALUES = { requestId: FIELDS.reqId, tenant: FIELDS.tenant, user: FIELDS.user }

/** Logger options by name. */
const OPTIONS: Record<string, LoggerOptions> = {
  none: {},
  'redact: a path': { redact: ['secret'] },
  'redact: nested, wildcard and bracket paths': { redact: ['nested.secret', '*.secret', 'a["b-c"]', 'list[*].secret'] },
  'redact: fields of ours': { redact: ['tenant', 'user.secret'] },
  'redact: everything': { redact: ['*'] },
  'redact: a censor': { redact: { paths: ['secret', 'tenant', 'user.secret'], censor: '***' } },
  'redact: a censor function': { redact: { paths: ['secret', 'user.secret'], censor: (value, path) => `${path.join('.')}:${String(value).length}` } },
  'redact: remove': { redact: { paths: ['secret', 'tenant', 'user.secret'], remove: true } },
  serializers: { serializers: { tenant: (tenant: string) => tenant.toUpperCase(), user: ({ id }: { id: string }) => id, part: (part: unknown) => [part] } },
  'a serializer for errors': { serializers: { err: (error: Error) => ({ only: error.message }) } },
  'formatters.level': { formatters: { level: (label, number) => ({ severity: `${label}/${number}` }) } },
  'formatters.log': { formatters: { log: (object) => ({ ...object, formatted: true }) } },
  'formatters.bindings': { formatters: { bindings: ({ pid }) => ({ renamed: pid as unknown }) } },
  'all formatters': { formatters: { level: (label) => ({ level: label }), log: (object) => ({ log: object }), bindings: () => ({}) } },
  'base: null': { base: null },
  'base and name': { base: { service: 's' }, name: 'n' },
  nestedKey: { nestedKey: 'payload' },
  'nestedKey and redact': { nestedKey: 'payload', redact: ['payload.secret', 'tenant'] },
  'messageKey and errorKey': { messageKey: 'message', errorKey: 'error' },
  msgPrefix: { msgPrefix: '[p] ' },
  'timestamp: false': { timestamp: false },
  'timestamp: isoTime': { timestamp: pino.stdTimeFunctions.isoTime },
  'timestamp: unixTime': { timestamp: pino.stdTimeFunctions.unixTime },
  'timestamp: another name': { timestamp: () => ',"at":1' },
  customLevels: { customLevels: { loud: 35 } },
  useOnlyCustomLevels: { customLevels: { trace: 1, debug: 2, info: 3, warn: 4, error: 5, fatal: 6 }, useOnlyCustomLevels: true, level: 'trace' },
  mixin: { mixin: (_object, level) => ({ mixed: level }) },
  'mixin and mixinMergeStrategy': { mixin: () => ({ part: 'mixed', mixed: 1 }), mixinMergeStrategy: (object, mixed) => ({ ...object, ...mixed }) },
  'hooks.logMethod': { hooks: { logMethod (args, method) { method.apply(this, ['hooked %s', String(args.length)] as never) } } },
  'hooks.streamWrite': { hooks: { streamWrite: (line) => line.replace('{', '{"streamed":true,') } },
  'depthLimit and edgeLimit': { depthLimit: 2, edgeLimit: 2 },
  crlf: { crlf: true },
  'levelComparison: DESC': { levelComparison: 'DESC', customLevels: { quiet: 5 } },
  'many at once': {
    base: { service: 's' },
    nestedKey: 'payload',
    messageKey: 'message',
    errorKey: 'error',
    redact: { paths: ['payload.secret', 'payload.nested.*', 'user.secret'], censor: (value) => `<${String(value).length}>` },
    serializers: { user: ({ id }: { id: string }) => ({ id, secret: 'again' }), error: (error: Error) => error.message },
    formatters: { level: (label) => ({ severity: label }), log: (object) => ({ ...object, formatted: true }) },
    mixin: () => ({ mixed: true }),
    mixinMergeStrategy: (object, mixed) => ({ ...mixed, ...object }),
    timestamp: () => ',"at":1'
  },
  'level: trace': { level: 'trace' },
  'level: error': { level: 'error' },
  disabled: { enabled: false }
}

/** What a test does to a logger before it writes. */
const LOGGERS: Record<string, (logger: Logger) => Logger> = {
  'the logger': (logger) => logger,
  'a child': (logger) => logger.child({ part: 1, nested: { secret: 'x' } }),
  'a child of a child': (logger) => logger.child({ part: 1 }).child({ more: 2 }),
  'a child without bindings': (logger) => logger.child({}),
  'after setBindings()': (logger) => {
    const child = logger.child({ part: 1 })
    child.setBindings({ more: 2 })
    return child
  },
  'a level set at run time': (logger) => {
    const child = logger.child({})
    child.level = 'debug'
    return child
  },
  'a child with a level': (logger) => logger.child({}, { level: 'trace' }),
  'a child with serializers': (logger) => logger.child({ part: 1 }, { serializers: { part: (part: number) => part + 1, user: ({ id }: { id: string }) => `<${id}>` } }),
  'a child with redact': (logger) => logger.child({ secret: 'x' }, { redact: ['secret', 'user.id'] }),
  'a child with formatters': (logger) => logger.child({ part: 1 }, { formatters: { log: (object: object) => ({ ...object, byChild: true }), bindings: (bindings: object) => ({ ...bindings, bound: true }) } }),
  'a child with customLevels': (logger) => logger.child({}, { customLevels: { shout: 45 } as Record<never, number> }),
  'a child with msgPrefix': (logger) => logger.child({}, { msgPrefix: '[c] ' })
}

const circular: Record<string, unknown> = { a: 1 }
circular.self = circular
const failure = Object.assign(new Error('broken', { cause: new Error('why') }), { code: 'E_BROKEN' })
const incoming = Object.assign(new IncomingMessage(new Socket()), { method: 'GET', url: '/?a=1' })

/** What a logger writes. */
const LINES: Record<string, (logger: Logger) => void> = {
  'a message': (logger) => { logger.info('message') },
  'each level': (logger) => { for (const level of ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const) logger[level]('message') },
  'a level of its own': (logger) => { for (const level of ['loud', 'shout']) if (level in logger.levels.values) (logger as unknown as Record<string, LogFn | undefined>)[level]?.('message') },
  'an object': (logger) => { logger.warn({ part: 2, secret: 'x' }) },
  'an object and a message': (logger) => { logger.warn({ part: 2, nested: { secret: 'x', deep: { deeper: { deepest: 1 } } }, a: { 'b-c': 1 }, list: [{ secret: 1 }, { secret: 2 }, 3] }, 'message') },
  'a format': (logger) => { logger.error('%s of %d is %j%%', 'a', 2, { b: 3 }) },
  'an object and a format': (logger) => { logger.error({ part: 2 }, 'of %s', 'a') },
  'an error': (logger) => { logger.error(failure) },
  'an error and a message': (logger) => { logger.error(failure, 'message') },
  'an error in an object': (logger) => { logger.error({ err: failure, part: 2 }) },
  'a request': (logger) => { logger.error({ req: incoming }, 'message') },
  'strange values': (logger) => { logger.error({ circular, big: 1n, date: new Date(0), map: new Map([[1, 2]]), none: undefined, nil: null, nan: NaN, symbol: Symbol('s'), fn () {}, json: { toJSON: () => 'j' } }, 'message') },
  'a getter': (logger) => { logger.error({ get part () { return 'got' } }, 'message') },
  'an object that inherits': (logger) => { logger.error(Object.create({ inherited: 1 }, { own: { value: 2, enumerable: true } }), 'message') },
  'an array': (logger) => { logger.error([1, { secret: 'x' }], 'message') },
  'null, undefined and an empty object': (logger) => {
    logger.error(null, 'message')
    logger.error(undefined, 'message')
    logger.error({}, undefined)
  },
  'a text that needs escapes': (logger) => { logger.error('"\\\n\u0001\u2028\ud800é💥"') },
  'names that a logger writes': (logger) => { logger.error({ level: 'x', time: 'y', msg: 'z', pid: 0 }) }
}

/** A line without its time, which may differ. */
function timeless (text: string): LogLine {
  const line = JSON.parse(text) as LogLine
  return typeof line.time === 'number' || /^\d{4}-/.test(String(line.time)) ? { ...line, time: typeof line.time } : line
}

function makeContext () {
  return createContext({ tenant: key<string>({ log: true }), user: key<object>({ log: true }) })
}

/** Correlates a logger by registering an application. Returns a function that runs code in a scope, and the application's logger. */
async function correlated (t: Tap, base: Logger): Promise<{ readonly run: (fn: () => void) => void, readonly late: (fn: () => void) => () => void, readonly log: Logger }> {
  const ctx = makeContext()
  const app = Fastify({ loggerInstance: base as FastifyBaseLogger })
  await app.register(ctx.plugin)
  await app.ready()
  t.teardown(() => app.close())
  return {
    run: (fn) => { ctx.run(VALUES, fn) },
    late: (fn) => ctx.run(VALUES, () => ctx.bind(fn)),
    log: app.log as Logger
  }
}

for (const [what, given] of Object.entries(OPTIONS)) {
  t.test(`options: ${what}: each line equals the line of a pino child with our fields bound`, async (t) => {
    // Fastify gives its logger an err serializer if it has none.
    const options = { ...given, serializers: { req: pino.stdSerializers.req, ...given.serializers } }
    const ours: string[] = []
    const bare: string[] = []
    const base = pino(options, { write (line) { ours.push(line) } })
    const reference = pino(options, { write (line) { bare.push(line) } })
    const { run, late, log } = await correlated(t, base)
    const differing: unknown[] = []
    let count = 0
    /** Records the lines that differ, or contain a name twice that pino's own line contains once. */
    function compare (title: string): void {
      const repeated = new Set(bare.flatMap(repeatedNames))
      const twice = ours.flatMap(repeatedNames).filter((name) => !repeated.has(name))
      const isAlike = isDeepStrictEqual(ours.map(timeless), bare.map(timeless)) && isDeepStrictEqual(ours.map(endOf), bare.map(endOf))
      if (twice.length > 0 || !isAlike) differing.push({ title, twice, ours: [...ours], bare: [...bare] })
      count += ours.length
      ours.length = bare.length = 0
    }
    for (const [whose, derive] of Object.entries(LOGGERS)) {
      // pino itself throws, because the child lacks the level of its parent.
      if (options.useOnlyCustomLevels === true && whose === 'a child with customLevels') continue
      for (const [which, write] of Object.entries(LINES)) {
        for (const from of [base, log]) {
          run(() => { write(derive(from)) })
          write(derive(reference).child(FIELDS))
          compare(`${whose}: ${which}`)
          write(derive(from))
          write(derive(reference))
          compare(`${whose}: ${which}, outside a scope`)
        }
        late(() => { write(derive(log)) })()
        write(derive(reference).child(FIELDS))
        compare(`${whose}: ${which}, after the end of the scope`)
      }
    }
    t.same(differing, [])
    t.ok(count > 0 || options.enabled === false)
  })
}

const endOf = (line: string): string => line.slice(-2)

/** Runs code that logs through a transport, and waits until everything is written. */
async function writeBy (targets: pino.TransportTargetOptions[], write: (stream: DestinationStream) => Promise<void>): Promise<void> {
  const transport = pino.transport({ targets })
  // The worker of a transport does not keep the process alive.
  const alive = setInterval(() => {}, 1_000)
  await once(transport, 'ready')
  const closed = once(transport, 'close')
  await write(transport)
  transport.end()
  await closed
  clearInterval(alive)
}

t.test('transports, several targets: a worker writes the same to its files as for a bound child', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'log-table-'))
  t.teardown(() => { rmSync(folder, { recursive: true }) })
  const targets = (name: string): pino.TransportTargetOptions[] => [
    { target: 'pino/file', options: { destination: join(folder, `${name}.json`) } },
    { target: 'pino-pretty', options: { destination: join(folder, `${name}.txt`), colorize: false, ignore: 'time,pid,hostname' } }
  ]
  const write = (logger: Logger): void => {
    logger.info('message')
    logger.child({ part: 1 }).warn({ nested: { a: 1 } }, 'of a child')
    logger.error(failure)
  }
  await writeBy(targets('ours'), async (stream) => {
    const { run, log } = await correlated(t, pino(stream))
    run(() => { write(log) })
  })
  await writeBy(targets('bare'), async (stream) => { write(pino(stream).child(FIELDS)) })
  const lines = (name: string): string[] => readFileSync(join(folder, `${name}.json`), 'utf8').trim().split('\n')
  t.same(lines('ours').map(timeless), lines('bare').map(timeless))
  t.equal(lines('ours').length, 3)
  t.same(lines('ours').flatMap(repeatedNames), [])
  // A child's own bindings come before the fields.
  const words = (name: string): string[] => readFileSync(join(folder, `${name}.txt`), 'utf8').split('\n').sort()
  t.same(words('ours'), words('bare'))
})

/** Streams for a logger with the same lines, each with a function that returns what was written. */
const STREAMS: Record<string, (out: (text: string) => void) => DestinationStream> = {
  'pino-pretty': (out) => pretty({ colorize: false, sync: true, ignore: 'time', destination: new Writable({ write (chunk, _encoding, done) { out(String(chunk)); done() } }) }),
  'multistream with dedupe': (out) => pino.multistream([{ level: 'info', stream: { write: (line: string) => { out(`info ${line}`) } } }, { level: 'error', stream: { write: (line: string) => { out(`error ${line}`) } } }], { dedupe: true }),
  'a metadata stream': (out) => ({
    [Symbol.for('pino.metadata')]: true,
    write (this: Record<string, unknown>, line: string) { out(`${String(this.lastLevel)} ${String(this.lastMsg)} ${JSON.stringify(this.lastObj)} ${line}`) }
  }) as unknown as DestinationStream
}

for (const [what, stream] of Object.entries(STREAMS)) {
  t.test(`streams: ${what}: the output equals that of a bound pino child`, async (t) => {
    const ours: string[] = []
    const bare: string[] = []
    const options = { timestamp: false as const }
    const { run, log } = await correlated(t, pino(options, stream((text) => { ours.push(text) })))
    const write = (logger: Logger): void => {
      logger.info('message')
      logger.warn({ nested: { a: 1 } }, 'an object')
      logger.error(failure, 'an error')
    }
    run(() => { write(log) })
    write(pino(options, stream((text) => { bare.push(text) })).child(FIELDS))
    t.equal(ours.length, 3)
    t.same(ours, bare)
  })
}
