import Fastify, * as fastify from 'fastify'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import { pino } from 'pino'
import t from 'tap'
import { createContext, key } from '../../../lib/index.ts'
import { tieOf } from '../../../lib/logging/request-logger.ts'
import { logController } from '../../../lib/patches/fastify-internals.ts'
import { logLines, requestLoggers } from '../../../lib/patches/log-wiring.ts'
import { fastifyHas, Lines } from '../../support/support.ts'

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
  const app = { log, version: '5.0.0' } as never
  t.same([logLines.available(app), requestLoggers.available(app)], [false, false])
})

t.test('undoing the log wiring restores the logger and the log controller', async (t) => {
  const given = pino({ mixin: () => ({ a: 1 }) }, new Lines(t))
  const shape = (object: object): string[] => Reflect.ownKeys(object).map(String).sort()
  const app = Fastify({ loggerInstance: given as FastifyBaseLogger })
  const controller = logController(app)
  const shapes = (): string[][] => [given, app, ...controller === undefined ? [] : [controller]].map(shape)
  const before = shapes()
  const mixin = Object.getOwnPropertySymbols(given).find(({ description }) => description === 'pino.mixin')!
  const value = (given as never)[mixin]
  const undo = [logLines.install(app), requestLoggers.install(app)]
  t.not((given as never)[mixin], value)
  for (const revert of undo.reverse()) revert()
  t.same(shapes(), before)
  t.equal((given as never)[mixin], value)
})

if (fastifyHas('LogController')) {
  t.test('a log controller that cannot be extended, or is not where we expect it, is not changed', async (t) => {
    const stream = new Lines(t)
    const frozen = Fastify({ logger: { stream }, logController: Object.freeze(new fastify.LogController()) })
    t.equal(requestLoggers.available(frozen), false)
    for (const [version, available] of [['5.0.0', true], ['5.9.3', true], ['5.10.0', false], ['6.0.0', false]] as const) {
      const app = { log: Fastify({ logger: { stream } }).log, version } as FastifyInstance
      t.equal(requestLoggers.available(app), available, version)
      requestLoggers.install(app)()
    }
  })

  t.test('a log controller of the application is called with its own arguments, and shows no additional properties', async (t) => {
    const seen: unknown[] = []
    class Quiet extends fastify.LogController {
      override incomingRequest (...args: Parameters<fastify.LogController['incomingRequest']>): void { seen.push(this, args.length, tieOf(args[0].log as object)?.raw === args[0].raw) }
      override serviceUnavailable (...args: unknown[]): void { seen.push(this, args.length) }
    }
    const controller = new Quiet()
    const app: FastifyInstance = Fastify({ logger: { stream: new Lines(t) }, logController: controller })
    const keys = Object.keys(controller)
    requestLoggers.install(app)
    t.same(Object.keys(controller), keys)
    app.get('/', async () => 'ok')
    await app.inject('/')
    t.same(seen, [controller, 2, true])
    ;(controller as unknown as { serviceUnavailable: (...args: unknown[]) => void }).serviceUnavailable(app.log, app)
    t.same(seen.slice(3), [controller, 2])
  })

  t.test('a log controller of several applications is restored when the last of them closes, in any order', async (t) => {
    for (const order of [[0, 1], [1, 0]]) {
      const controller = new fastify.LogController()
      const before = Reflect.ownKeys(controller)
      const streams = [new Lines(t), new Lines(t)]
      const apps: FastifyInstance[] = streams.map((stream) => Fastify({ logger: { stream }, logController: controller }))
      const tied: boolean[] = []
      for (const app of apps) app.get('/', async ({ log, raw }) => { tied.push(tieOf(log as object)?.raw === raw) })
      const undo = apps.map((app) => requestLoggers.install(app))
      undo[order[0]!]!()
      for (const at of order) await apps[at]!.inject('/')
      t.same(tied, [false, true], 'the one that is left is still tied')
      undo[order[1]!]!()
      t.same(Reflect.ownKeys(controller), before)
    }
  })

  t.test('the log controller of an application in which two plugins have a context each is restored at close', async (t) => {
    const app: FastifyInstance = Fastify({ logger: { stream: new Lines(t) } })
    const before = Reflect.ownKeys(logController(app)!)
    for (const seed of ['A', 'B']) {
      const ctx = createContext({ tenant: key<string>({ seed: () => seed, log: true }) })
      await app.register(async (child) => { await child.register(ctx.plugin) })
    }
    await app.ready()
    t.not(Reflect.ownKeys(logController(app)!).length, before.length)
    await app.close()
    t.same(Reflect.ownKeys(logController(app)!), before)
  })
}
