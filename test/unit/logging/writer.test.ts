import { pino, type Logger, type LoggerOptions } from 'pino'
import t from 'tap'
import { pinoSymbols, type PinoLogger, type PinoSymbols, type PinoWrite } from '../../../lib/logging/pino-seams.ts'
import type { Line } from '../../../lib/scope/line.ts'
import { correlatedWriter } from '../../../lib/logging/writer.ts'
import { Lines, type LogLine, type Tap } from '../../support/support.ts'

interface Setting { readonly lines: Lines, readonly logger: Logger, readonly symbols: PinoSymbols, use (line: Line): void }

/** A logger all of whose lines carry what `use` was told last. */
function setting (t: Tap, options: LoggerOptions = {}, stream: object = {}): Setting {
  const lines = new Lines(t)
  const logger = pino({ base: { service: 's' }, ...options }, Object.assign(lines, stream))
  const symbols = pinoSymbols(logger)!
  const root = logger as unknown as PinoLogger
  const write = root[symbols.write] as PinoWrite
  let line: Line
  root[symbols.write] = function (this: PinoLogger, object: unknown, message: string | undefined, level: number) { writeWith(line, this, object, message, level) }
  const writeWith = correlatedWriter(root, write, symbols)
  return { lines, logger, symbols, use (given) { line = given } }
}

function lineOf (fields: Record<string, unknown>): Line {
  return { values: [], trace: undefined, outer: undefined, own: fields, fields, text: undefined, bound: [] }
}

const ours = ({ reqId, tenant, part }: LogLine): LogLine => ({ reqId, tenant, part })

t.test('the logger and its children: each line has what its logger bound and the fields, once', async (t) => {
  const { lines, logger, use } = setting(t)
  const a = lineOf({ reqId: 'a', tenant: 'A' })
  use(a)
  const ofRequest = logger.child({ reqId: 'a' }, {})
  logger.info('logger')
  logger.child({ part: 1 }).info('child')
  ofRequest.info('of the request')
  ofRequest.child({ part: 2 }).info('child of the request')
  t.same(ours(lines.one('logger')), { reqId: 'a', tenant: 'A', part: undefined })
  t.same(ours(lines.one('child')), { reqId: 'a', tenant: 'A', part: 1 })
  t.same(ours(lines.one('of the request')), { reqId: 'a', tenant: 'A', part: undefined })
  t.same(ours(lines.one('child of the request')), { reqId: 'a', tenant: 'A', part: 2 })
  t.ok(a.bound.every(({ text, twin }) => text !== undefined && twin === undefined), 'all by the stand-in')
  use(lineOf({ reqId: 'b', tenant: 'B' }))
  logger.info('another')
  t.same(ours(lines.one('another')), { reqId: 'b', tenant: 'B', part: undefined })
})

t.test('what a logger is asked to write while it writes: each line has its own', async (t) => {
  const { lines, logger, use } = setting(t)
  const [outer, inner] = [lineOf({ reqId: 'outer', tenant: 'O' }), lineOf({ reqId: 'inner', tenant: 'I' })]
  const logInner = (): string => {
    use(inner)
    logger.info('inner')
    use(outer)
    return 'x'
  }
  use(outer)
  logger.info({ get err () { return logInner() } }, undefined)
  logger.info({ value: { toJSON: logInner } }, 'by toJSON')
  t.same(lines.all('inner').map(({ reqId }) => reqId), lines.all('inner').map(() => 'inner'))
  t.same(lines.all().filter(({ msg }) => msg !== 'inner').map(ours), [{ reqId: 'outer', tenant: 'O', part: undefined }, { reqId: 'outer', tenant: 'O', part: undefined }])
})

t.test('a line that cannot be written leaves nothing behind', async (t) => {
  const { lines, logger, use } = setting(t, { serializers: { bad () { throw new Error('broken') } } })
  use(lineOf({ reqId: 'a', tenant: 'A' }))
  t.throws(() => { logger.info({ bad: 1 }, 'never') }, { message: 'broken' })
  use(lineOf({ reqId: 'b', tenant: 'B' }))
  logger.child({ part: 1 }).info('next')
  t.same(ours(lines.one('next')), { reqId: 'b', tenant: 'B', part: 1 })
  t.same(logger.bindings(), { service: 's' })
})

for (const [what, options, child] of [
  ['a mixin', { mixin: () => ({ more: 1 }) }, {}],
  ['formatters.log', { formatters: { log: (object: object) => object } }, {}],
  ['a nested key', { nestedKey: 'nested' }, {}],
  ['serializers of the child', {}, { serializers: { part: (part: number) => part } }],
  ['formatters.log of the child', {}, { formatters: { log: (object: object) => object } }],
  ['redaction of the child', {}, { redact: ['secret'] }],
  ['levels of the child', {}, { customLevels: { loud: 35 } }]
] as const) {
  t.test(`${what}: a twin writes, with the same on its lines`, async (t) => {
    const { lines, logger, use } = setting(t, options as LoggerOptions)
    const line = lineOf({ reqId: 'a', tenant: 'A' })
    use(line)
    logger.child({ part: 1 }, child as object).info('line')
    t.same(ours(lines.one('line')), { reqId: 'a', tenant: 'A', part: 1 })
    t.ok(line.bound[0]?.twin)
  })
}

t.test('a field that the logger, or the child after its id, has bound itself: a twin writes what was bound', async (t) => {
  for (const [bindings, options] of [[{ tenant: 'its own' }, {}], [{ reqId: 'a', nested: { tenant: 'x' } }, {}], [{}, { base: { tenant: 'its own' } }]] as const) {
    const { lines, logger, use } = setting(t, options)
    const line = lineOf({ reqId: 'a', tenant: 'A' })
    use(line)
    logger.child(bindings).info('line')
    t.equal(lines.one('line').tenant, 'nested' in bindings ? 'A' : 'its own')
    t.ok(line.bound[0]?.twin)
  }
})

t.test('an id that only begins as the line\'s own does is another', async (t) => {
  const { lines, logger, use } = setting(t)
  use(lineOf({ number: 1, tenant: 'A' }))
  logger.child({ number: 12 }).info('line')
  t.match(lines.one('line'), { number: 12, tenant: 'A' })
})

t.test('a stream that is told more than the text is told of a logger that has the fields bound', async (t) => {
  const { lines, logger, use } = setting(t, {}, { [Symbol.for('pino.metadata')]: true })
  use(lineOf({ reqId: 'a', tenant: 'A' }))
  const child = logger.child({ part: 1 })
  child.info('line')
  const told = lines as unknown as { lastLogger: Logger }
  const { lastLogger } = told
  t.match(lastLogger.bindings(), { part: 1, reqId: 'a', tenant: 'A' })
  use(lineOf({ reqId: 'b', tenant: 'B' }))
  child.info('another')
  t.match(lastLogger.bindings(), { reqId: 'a', tenant: 'A' }, 'which no later line changes')
})

t.test('setBindings(), of a child and of the logger: from the next line on', async (t) => {
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

t.test('what a line names itself wins, and a child for each line is not kept', async (t) => {
  const { lines, logger, use } = setting(t)
  const line = lineOf({ reqId: 'a', tenant: 'A' })
  use(line)
  logger.info({ tenant: 'said' }, 'line')
  t.equal(lines.one('line').tenant, 'said')
  for (let i = 0; i < 20; i++) logger.child({ part: i }).info('many')
  t.same(lines.all('many').map(({ part }) => part), Array.from({ length: 20 }, (_, i) => i))
  t.ok(line.bound.length <= 4)
})
