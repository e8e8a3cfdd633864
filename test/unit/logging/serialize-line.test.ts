import { tracingChannel } from 'node:diagnostics_channel'
import { pino, type Logger, type LoggerOptions } from 'pino'
import t from 'tap'
import { pinoSymbols, stored, type AsJson, type PinoLogger, type PinoSymbols } from '../../../lib/logging/pino-seams.ts'
import { lineSerializer } from '../../../lib/logging/serialize-line.ts'
import type { Line } from '../../../lib/scope/line.ts'
import { Lines, type LogLine, type Tap } from '../../support/support.ts'

interface Setting { readonly lines: Lines, readonly logger: Logger, readonly symbols: PinoSymbols, use (line: Line): void }

/** A logger whose lines all carry the fields that `use` was last called with. */
function setting (t: Tap, options: LoggerOptions = {}, isForeign = false): Setting {
  const lines = new Lines(t)
  const logger = pino({ base: { service: 's' }, ...options }, lines)
  const symbols = pinoSymbols(logger)!
  const root = logger as unknown as PinoLogger
  let line: Line
  const serializeLine = lineSerializer(root, stored(root, symbols.asJson) as AsJson, isForeign, symbols)
  const asJson: AsJson = function (object, message, level, time) { return serializeLine(line, 'reqId', this, object, message, level, time) }
  root[symbols.asJson] = asJson
  return { lines, logger, symbols, use (given) { line = given } }
}

function lineOf (fields: Record<string, unknown>): Line {
  return { values: [], trace: undefined, enclosing: undefined, own: fields, fields, text: undefined, bound: [] }
}

const ours = ({ reqId, tenant, part }: LogLine): LogLine => ({ reqId, tenant, part })

/** Calls `fn` while something subscribes to pino's channel. Returns the loggers that the subscriber saw. */
function listening (fn: () => void): unknown[] {
  const seen: unknown[] = []
  const subscribers = { start: (message: object) => { seen.push((message as { instance: unknown }).instance) } } as unknown as Parameters<ReturnType<typeof tracingChannel>['subscribe']>[0]
  const channel = tracingChannel('pino_asJson')
  channel.subscribe(subscribers)
  try { fn() } finally { channel.unsubscribe(subscribers) }
  return seen
}

for (const isHeard of [false, true]) {
  const when = isHeard ? ', while somebody listens to the channel' : ''
  const doing = isHeard ? listening : (fn: () => void) => { fn() }

  t.test(`the logger and its children: each line has the bound fields and ours, once${when}`, async (t) => {
    const { lines, logger, use } = setting(t)
    const a = lineOf({ reqId: 'a', tenant: 'A' })
    use(a)
    const ofRequest = logger.child({ reqId: 'a' }, {})
    doing(() => {
      logger.info('logger')
      logger.child({ part: 1 }).info('child')
      ofRequest.info('of the request')
      ofRequest.child({ part: 2 }).info('child of the request')
    })
    t.same(ours(lines.one('logger')), { reqId: 'a', tenant: 'A', part: undefined })
    t.same(ours(lines.one('child')), { reqId: 'a', tenant: 'A', part: 1 })
    t.same(ours(lines.one('of the request')), { reqId: 'a', tenant: 'A', part: undefined })
    t.same(ours(lines.one('child of the request')), { reqId: 'a', tenant: 'A', part: 2 })
    t.ok(a.bound.every(({ view }) => view === undefined), 'each line was written by the stand-in')
    use(lineOf({ reqId: 'b', tenant: 'B' }))
    doing(() => { logger.info('another') })
    t.same(ours(lines.one('another')), { reqId: 'b', tenant: 'B', part: undefined })
    t.same(logger.bindings(), { service: 's' })
  })

  t.test(`a line written while another line is written has its own fields${when}`, async (t) => {
    const { lines, logger, use } = setting(t)
    const [outer, inner] = [lineOf({ reqId: 'outer', tenant: 'O' }), lineOf({ reqId: 'inner', tenant: 'I' })]
    const logInner = (): string => {
      use(inner)
      logger.info('inner')
      use(outer)
      return 'x'
    }
    use(outer)
    doing(() => {
      logger.info({ get err () { return logInner() } }, undefined)
      logger.info({ value: { toJSON: logInner } }, 'by toJSON')
    })
    t.same(lines.all('inner').map(({ reqId }) => reqId), lines.all('inner').map(() => 'inner'))
    t.same(lines.all().filter(({ msg }) => msg !== 'inner').map(ours), [{ reqId: 'outer', tenant: 'O', part: undefined }, { reqId: 'outer', tenant: 'O', part: undefined }])
  })

  t.test(`a line that cannot be written leaves no state behind${when}`, async (t) => {
    const { lines, logger, use } = setting(t, { serializers: { bad () { throw new Error('broken') } } })
    use(lineOf({ reqId: 'a', tenant: 'A' }))
    doing(() => { t.throws(() => { logger.info({ bad: 1 }, 'never') }, { message: 'broken' }) })
    use(lineOf({ reqId: 'b', tenant: 'B' }))
    logger.child({ part: 1 }).info('next')
    t.same(ours(lines.one('next')), { reqId: 'b', tenant: 'B', part: 1 })
    t.same(logger.bindings(), { service: 's' })
  })

  for (const [what, options, child] of [
    ['formatters.log', { formatters: { log: (object: object) => ({ ...object, tenant: 'formatted' }) } }, {}],
    ['formatters.log and a nested key', { formatters: { log: (object: object) => object }, nestedKey: 'nested' }, {}],
    ['serializers of the child', {}, { serializers: { part: (part: number) => part } }],
    ['formatters.log of the child', {}, { formatters: { log: (object: object) => object } }],
    ['redaction of the child', {}, { redact: ['secret'] }],
    ['levels of the child', {}, { customLevels: { loud: 35 } }]
  ] as const) {
    t.test(`${what}: gets its own view, with the same fields on its lines${when}`, async (t) => {
      const { lines, logger, use } = setting(t, options as LoggerOptions)
      const line = lineOf({ reqId: 'a', tenant: 'A' })
      use(line)
      doing(() => { for (const message of ['line', 'again']) logger.child({ part: 1 }, child as object).info(message) })
      for (const message of ['line', 'again']) t.same(ours(lines.one(message)), { reqId: 'a', tenant: 'A', part: 1 })
      t.ok(line.bound[0]?.view)
    })
  }

  t.test(`frozen loggers, and objects that inherit from a logger, work${when}`, async (t) => {
    const { lines, logger, use } = setting(t)
    use(lineOf({ reqId: 'a', tenant: 'A' }))
    const below = Object.create(logger.child({ part: 2 })) as Logger
    doing(() => {
      Object.freeze(logger.child({ part: 1 })).info('frozen')
      Object.freeze(logger.child({ part: 1 })).info({ reqId: 'x' }, 'frozen, with our name')
      below.info('below')
    })
    for (const message of ['frozen', 'frozen, with our name']) t.same(ours(lines.one(message)), { reqId: 'a', tenant: 'A', part: 1 })
    t.same(ours(lines.one('below')), { reqId: 'a', tenant: 'A', part: 2 })
    t.same(Reflect.ownKeys(below), [])
  })

  t.test(`a field of the line wins, except under our reserved names${when}`, async (t) => {
    for (const options of [{}, { formatters: { log: (object: object) => ({ ...object, more: 1 }) } }]) {
      const { lines, logger, use } = setting(t, options)
      use(lineOf({ reqId: 'a', tenant: 'A', actor: { user: 'ada' }, reason: 'ticket' }))
      doing(() => { logger.info({ tenant: 'said', reqId: 'x', actor: 'x', reason: 'x', part: 3 }, 'line') })
      t.match(lines.one('line'), { tenant: 'said', reqId: 'a', actor: { user: 'ada' }, reason: 'ticket', part: 3 })
      doing(() => { logger.child({ tenant: 'bound', reqId: 'x', reason: 'x' }).info('child') })
      t.match(lines.one('child'), { tenant: 'bound', reqId: 'a', reason: 'ticket' })
    }
  })
}

t.test('a subscriber of the channel gets the logger itself', async (t) => {
  const { logger, use } = setting(t)
  use(lineOf({ reqId: 'a', tenant: 'A' }))
  const child = logger.child({})
  t.strictSame(listening(() => { child.info('line'); child.info({ reqId: 1 }, 'line'); logger.info('line') }).map((seen) => [child, logger].indexOf(seen as Logger)), [0, 0, 1])
})

t.test('the logger itself is serialized if another tool replaced asJson below ours', async (t) => {
  const { lines, logger, use, symbols } = setting(t, {}, true)
  use(lineOf({ reqId: 'a', tenant: 'A' }))
  logger.info('line')
  t.same(ours(lines.one('line')), { reqId: 'a', tenant: 'A', part: undefined })
  t.notMatch((logger as unknown as PinoLogger)[symbols.bindings], /tenant/)
})

t.test('a field bound by the logger, or by the child after its id, is kept', async (t) => {
  for (const [bindings, options] of [[{ tenant: 'its own' }, {}], [{ reqId: 'a', nested: { tenant: 'x' } }, {}], [{}, { base: { tenant: 'its own' } }]] as const) {
    const { lines, logger, use } = setting(t, options)
    use(lineOf({ reqId: 'a', tenant: 'A' }))
    logger.child(bindings).info('line')
    t.equal(lines.one('line').tenant, 'nested' in bindings ? 'A' : 'its own')
  }
})

t.test('an id that only starts with the request\'s id is a different id', async (t) => {
  const { lines, logger, use } = setting(t)
  use(lineOf({ reqId: 1, tenant: 'A' }))
  logger.child({ reqId: 12 }).info('line')
  t.match(lines.one('line'), { reqId: 1, tenant: 'A' })
})

t.test('setBindings() of a child and of the logger applies from the next line on', async (t) => {
  const { lines, logger, use } = setting(t)
  use(lineOf({ reqId: 'a', tenant: 'A' }))
  const child = logger.child({})
  child.info('before')
  child.setBindings({ part: 1 })
  child.info('child after')
  logger.setBindings({ part: 2 })
  logger.info('logger after')
  child.info('child, still')
  use(lineOf({ reqId: 'b', tenant: 'B' }))
  child.info('child, for another')
  t.same(['before', 'child after', 'logger after', 'child, still', 'child, for another'].map((message) => lines.one(message).part), [undefined, 1, 2, 1, 1])
  t.equal(lines.one('child, for another').tenant, 'B')
})

t.test('a field without a value does not replace the bound field of a child', async (t) => {
  const { lines, logger, use } = setting(t)
  use(lineOf({ reqId: 'a', tenant: undefined, reason: undefined }))
  logger.child({ reason: 'bound' }).info('line')
  t.match(lines.one('line'), { reason: 'bound' })
})

t.test('a child created for one line is not kept in memory', async (t) => {
  const { lines, logger, use } = setting(t)
  const line = lineOf({ reqId: 'a', tenant: 'A' })
  use(line)
  for (let i = 0; i < 20; i++) logger.child({ part: i }).info('many')
  t.same(lines.all('many').map(({ part }) => part), Array.from({ length: 20 }, (_, i) => i))
  t.ok(line.bound.length <= 4)
})

t.test('a mixinMergeStrategy that returns undefined does not remove our fields', async (t) => {
  const { lines, logger, use } = setting(t, { mixin: () => ({}), mixinMergeStrategy: () => undefined as unknown as object })
  use(lineOf({ reqId: 'a', tenant: 'A' }))
  logger.info('line')
  t.same(ours(lines.one('line')), { reqId: 'a', tenant: 'A', part: undefined })
})
