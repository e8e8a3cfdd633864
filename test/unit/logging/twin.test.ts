import { pino, type Logger, type LoggerOptions } from 'pino'
import t from 'tap'
import { pinoSymbols, type PinoLogger, type PinoSymbols } from '../../../lib/logging/pino-seams.ts'
import { likenessOf, missingIn, names, twinOf, without } from '../../../lib/logging/twin.ts'
import { Lines, type LogLine, type Tap } from '../../support/support.ts'

/** A logger as we see it, and what its twin with these fields writes by itself. */
function setting (t: Tap, options: LoggerOptions = {}): { readonly lines: Lines, readonly logger: Logger, readonly symbols: PinoSymbols, readonly written: (logger: Logger, fields: object, object?: object) => LogLine } {
  const lines = new Lines(t)
  const logger = pino(options, lines)
  const symbols = pinoSymbols(logger)!
  const written = (from: Logger, fields: object, object: object = {}): LogLine => {
    lines.raw = []
    const twin = twinOf(seen(from), { ...fields }, symbols)
    ;(twin[symbols.write] as (this: object, object: object, message: string, level: number) => void).call(twin, object, 'line', 30)
    return lines.one('line')
  }
  return { lines, logger, symbols, written }
}

const seen = (logger: object): PinoLogger => logger as PinoLogger

t.test('a twin has the fields bound, and the logger itself has not', async (t) => {
  const { lines, logger, written } = setting(t)
  const child = logger.child({ part: 1 })
  t.match(written(child, { reqId: 'a', tenant: 'acme' }), { part: 1, reqId: 'a', tenant: 'acme' })
  child.info('as before')
  t.notOk('tenant' in lines.one('as before'))
})

t.test('a field that the logger has bound itself stands as it was bound', async (t) => {
  const { logger, written } = setting(t)
  t.match(written(logger.child({ tenant: 'its own' }), { reqId: 'a', tenant: 'acme' }), { reqId: 'a', tenant: 'its own' })
})

t.test('the fields win over what a mixin and formatters.log add', async (t) => {
  for (const options of [{ mixin: () => ({ tenant: 'other', more: 1 }) }, { formatters: { log: (object: object) => ({ ...object, tenant: 'other', more: 1 }) } }]) {
    const { logger, written } = setting(t, options)
    t.match(written(logger, { tenant: 'acme' }), { tenant: 'acme', more: 1 })
  }
})

t.test('formatters.bindings does not see the fields, as it sees those of no child', async (t) => {
  const { logger, written } = setting(t, { formatters: { bindings: () => ({ all: 'gone' }) } })
  t.match(written(logger, { tenant: 'acme' }), { all: 'gone', tenant: 'acme' })
})

t.test('the likeness of a child is nobody\'s prototype, nor is the child one', async (t) => {
  const { logger, symbols } = setting(t)
  const child = logger.child({ part: 1 })
  const likeness = likenessOf(seen(child), symbols)
  t.equal(Object.getPrototypeOf(likeness), logger)
  likeness.setBindings({ more: 2 })
  t.same(child.bindings(), { part: 1 })
})

t.test('names, missingIn, without', async (t) => {
  t.ok(names(',"a":{"b":1}', 'b'), 'at whatever depth')
  t.notOk(names(',"ab":1', 'b'))
  const { logger, symbols } = setting(t, { base: null })
  const fields = { a: 1, b: 2 }
  t.equal(missingIn(seen(logger), fields, symbols), fields, 'the fields themselves where all are missing')
  t.same(missingIn(seen(logger.child({ a: 0 })), fields, symbols), { b: 2 })
  t.same(missingIn(seen(logger.child({ nested: { a: 0 } })), fields, symbols), fields, 'a name within another field is none of the line')
  t.same(without(fields, { a: 'x', b: undefined }), { b: 2 })
  t.same(without(undefined, fields), {})
})
