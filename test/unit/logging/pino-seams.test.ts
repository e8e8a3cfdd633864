import Fastify from 'fastify'
import pino from 'pino'
import t from 'tap'
import { kFormatters } from '../../../lib/common/symbols.ts'
import { formattersOf, pinoSymbols, stored, writesField, type PinoLogger } from '../../../lib/logging/pino-seams.ts'

t.test('pinoSymbols', async (t) => {
  t.test('are the same for a pino logger and its children', async (t) => {
    const logger = pino({ enabled: false, nestedKey: 'nested', messageKey: 'message', errorKey: 'error' })
    const symbols = pinoSymbols(logger)!
    t.equal(pinoSymbols(logger.child({})), symbols)
    const read = logger.child({ a: 1 }) as unknown as Record<symbol, unknown>
    t.match(read[symbols.bindings], /"a":1$/)
    t.equal(read[symbols.nestedKey], 'nested')
    t.equal(read[symbols.messageKey], 'message')
    t.equal(read[symbols.errorKey], 'error')
    t.type(read[symbols.asJson], 'function')
    t.type(read[symbols.time], 'function')
    t.match((read[symbols.levels] as object), { 30: '{"level":30' })
    t.ok(symbols.mixin in read)
    t.ok(kFormatters in read)
  })

  t.test('are undefined for any other logger', async (t) => {
    class Other { info (): void {} }
    for (const logger of [{}, Fastify().log, new Other(), new Other(), Object.create(null) as object, { constructor: 'none' }]) t.equal(pinoSymbols(logger), undefined)
  })
})

t.test('stored reads the property itself, even through a proxy', async (t) => {
  const name = Symbol('name')
  const other = Symbol('other')
  const proxy = new Proxy({ [name]: 'stored' }, { get: () => 'said' })
  t.equal(stored(Object.create(proxy) as object, name), 'stored')
  t.equal(stored(proxy, other), undefined)
})

t.test('writesField: whether pino writes or has bound a field of this name', async (t) => {
  const logger = pino({ base: { service: 's', more: { nested: 1 } }, messageKey: 'message', errorKey: 'failure', timestamp: () => ',"at":1', formatters: { level: (severity) => ({ severity }) } }, { write () {} }) as unknown as PinoLogger
  const symbols = pinoSymbols(logger)!
  for (const name of ['severity', 'at', 'message', 'failure', 'service', 'more']) t.ok(writesField(logger, name, symbols), name)
  for (const name of ['level', 'time', 'msg', 'nested', 's']) t.notOk(writesField(logger, name, symbols), name)
  t.type(formattersOf(logger).level, 'function')
})

t.test('writesField: a timestamp that is not JSON hides no other field and does not throw', async (t) => {
  const logger = pino({ timestamp: () => ',at:"' }, { write () {} }) as unknown as PinoLogger
  t.ok(writesField(logger, 'level', pinoSymbols(logger)!))
  t.notOk(writesField(logger, 'at', pinoSymbols(logger)!))
})
