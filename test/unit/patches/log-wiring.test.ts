import Fastify, { type FastifyBaseLogger } from 'fastify'
import { pino } from 'pino'
import t from 'tap'
import { logLines, requestLoggers } from '../../../lib/patches/log-wiring.ts'
import { Lines } from '../../support/support.ts'

t.test('the log wiring is available for pino, for another logger, and without a logger', async (t) => {
  for (const logger of [{ stream: new Lines(t) }, false]) {
    const app = Fastify({ logger })
    t.same([logLines.available(app), requestLoggers.available(app)], [true, true])
    const undo = [logLines.install(app), requestLoggers.install(app)]
    for (const revert of undo) revert()
  }
})

t.test('the log wiring is unavailable if pino has renamed what we need', async (t) => {
  const log = { [Symbol.for('pino.formatters')]: {}, constructor: class Renamed {} }
  const app = { log, setChildLoggerFactory () {} } as never
  t.same([logLines.available(app), requestLoggers.available(app)], [false, false])
})

t.test('undoing the log wiring restores the logger and the instance', async (t) => {
  const given = pino({ mixin: () => ({ a: 1 }) }, new Lines(t))
  const shape = (object: object): string[] => Reflect.ownKeys(object).map(String).sort()
  const app = Fastify({ loggerInstance: given as FastifyBaseLogger })
  const [before, setFactory] = [[shape(given), shape(app)], app.setChildLoggerFactory]
  const mixin = Object.getOwnPropertySymbols(given).find(({ description }) => description === 'pino.mixin')!
  const value = (given as never)[mixin]
  const undo = [logLines.install(app), requestLoggers.install(app)]
  t.not((given as never)[mixin], value)
  for (const revert of undo.reverse()) revert()
  t.same([shape(given), shape(app)], before)
  t.equal((given as never)[mixin], value)
  t.equal(app.setChildLoggerFactory, setFactory)

  const child = Fastify({ loggerInstance: given as FastifyBaseLogger })
  child.register(async (child) => {
    requestLoggers.install(child)()
    t.same(['setChildLoggerFactory', 'childLoggerFactory'].filter((name) => Object.hasOwn(child, name)), [])
  })
  await child.ready()
})
