import type { FastifyInstance } from 'fastify'
import { correlate } from '../logging/correlate.ts'
import { kFormatters } from '../common/symbols.ts'
import { pinoSymbols } from '../logging/pino-seams.ts'
import { tieRequestLoggers } from '../logging/request-logger.ts'

/** Makes log lines carry the fields of the scope they are written in. */
export const logLines = {
  target: 'the logger of the application, and the loggerInstance that it was made from',
  property: 'Symbol(pino.asJson), Symbol(pino.mixin)',
  reason: 'a mixin repeats names and cannot be added later; pino documents its symbols for integrators, see https://github.com/pinojs/pino/blob/main/docs/api.md#pino-symbols',
  without: 'log lines lack the fields of the scope',

  available ({ log }: FastifyInstance): boolean {
    return isReadable(log)
  },

  install ({ log }: FastifyInstance): () => void {
    return correlate(log)
  }
}

/** Ties each logger that Fastify makes for a request to that request. */
export const requestLoggers = {
  target: 'fastify',
  property: 'childLoggerFactory, setChildLoggerFactory',
  reason: 'Fastify has one factory, and another plugin may set it later, see https://fastify.dev/docs/latest/Reference/Server/#childloggerfactory',
  without: 'a line that request.log writes in the scope of another request carries the fields of that request',

  available ({ log, setChildLoggerFactory }: FastifyInstance): boolean {
    return isReadable(log) && typeof setChildLoggerFactory === 'function'
  },

  install (instance: FastifyInstance): () => void {
    return tieRequestLoggers(instance)
  }
}

/** A logger that is no pino is left alone: its lines have what Fastify binds, the request id. */
function isReadable (logger: object): boolean {
  return !(kFormatters in logger) || pinoSymbols(logger) !== undefined
}
