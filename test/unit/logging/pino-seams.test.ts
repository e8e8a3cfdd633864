import Fastify from 'fastify'
import pino from 'pino'
import t from 'tap'
import { kFormatters, pinoSymbols } from '../../../lib/logging/pino-seams.ts'

t.test('pinoSymbols', async (t) => {
  t.test('of a pino logger and of its children, the same', async (t) => {
    const logger = pino({ enabled: false, nestedKey: 'nested', messageKey: 'message', errorKey: 'error' })
    const symbols = pinoSymbols(logger)!
    t.equal(pinoSymbols(logger.child({})), symbols)
    const read = logger.child({ a: 1 }) as unknown as Record<symbol, unknown>
    t.match(read[symbols.bindings], /"a":1$/)
    t.equal(read[symbols.nestedKey], 'nested')
    t.equal(read[symbols.messageKey], 'message')
    t.equal(read[symbols.errorKey], 'error')
    t.type(read[symbols.write], 'function')
    t.type(read[symbols.time], 'function')
    t.match((read[symbols.levels] as object), { 30: '{"level":30' })
    t.ok(symbols.mixin in read)
    t.ok(kFormatters in read)
  })

  t.test('of what is no pino: none', async (t) => {
    class Other { info (): void {} }
    for (const logger of [{}, Fastify().log, new Other(), new Other(), Object.create(null) as object, { constructor: 'none' }]) t.equal(pinoSymbols(logger), undefined)
  })
})
