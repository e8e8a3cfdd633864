import Fastify from 'fastify'
import t from 'tap'
import { silentLogger } from '../../../lib/logging/silent-logger.ts'

t.test('the silent logger accepts every call of Fastify\'s logger, and writes nothing', async (t) => {
  t.capture(process.stdout, 'write')
  for (const level of ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const) {
    t.equal(silentLogger[level]({ a: 1 }, 'message'), undefined)
  }
  t.equal(silentLogger.child({ a: 1 }, { level: 'trace' }), silentLogger)
  t.equal(silentLogger.level, 'silent')
})

t.test('Fastify accepts the silent logger', async (t) => {
  const app = Fastify({ loggerInstance: silentLogger })
  app.get('/', async (request) => {
    request.log.info('hello')
    return 'ok'
  })
  t.equal((await app.inject('/')).body, 'ok')
})
