import { pino, type LoggerOptions } from 'pino'
import t from 'tap'
import { createContext, key } from '../../../lib/index.ts'
import { Lines, type LogLine, type Tap } from '../../support/support.ts'

const makeContext = () => createContext({ tenant: key<string>({ log: true }), user: key<object>({ log: true }) })

/** One line of a separate logger, written in a scope. */
function written (t: Tap, options: LoggerOptions, values: object = {}, object: object = {}): LogLine {
  const ctx = makeContext()
  const lines = new Lines(t)
  const logger = pino({ mixin: ctx.mixin, ...options }, lines)
  ctx.run({ requestId: 'job', tenant: 'acme', ...values }, () => { logger.info(object, 'line') })
  return lines.one('line')
}

t.test('the mixin returns the fields that the logger neither writes nor has bound', async (t) => {
  t.match(written(t, {}), { reqId: 'job', tenant: 'acme' })
  t.equal(written(t, { base: { tenant: 'bound' } }).tenant, 'bound')
})

t.test('a field of the line wins over the mixin, except the request id', async (t) => {
  t.match(written(t, {}, {}, { tenant: 'said', reqId: 'forged' }), { reqId: 'job', tenant: 'said' })
  t.match(written(t, { mixinMergeStrategy: (object, mixed) => ({ ...object, ...mixed }) }, {}, { reqId: 'forged' }), { reqId: 'job' })
})

t.test('a value that the logger cannot write loses only its field', async (t) => {
  const line = written(t, { serializers: { user () { throw new Error('broken') } } }, { user: {} })
  t.match(line, { reqId: 'job', tenant: 'acme' })
  t.notOk('user' in line)
  t.match(written(t, {}, { user: { id: 1n } }), { user: { id: 1 } })
})

t.test('after the end of a scope the mixin returns its last fields', async (t) => {
  const ctx = makeContext()
  const lines = new Lines(t)
  const logger = pino({ mixin: ctx.mixin }, lines)
  const late = ctx.run({ tenant: 'acme', user: { since: new Date(0) } }, () => ctx.bind(() => {
    logger.info('late')
    return ctx.mixin()
  }))
  t.match(late(), { tenant: 'acme' })
  t.match(lines.one('late'), { tenant: 'acme', user: { since: '1970-01-01T00:00:00.000Z' } })
})
