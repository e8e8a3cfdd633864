import type { FastifyRequest } from 'fastify'
import pino, { type Logger } from 'pino'
import { ctx } from './context.ts'

/** One for all loggers, and synchronous: two destinations on one stdout would mix up the order of their lines. */
const stdout = pino.destination({ dest: 1, sync: true })

/** Lines that a person can read: words for levels, times of day. The process id tells the service from its worker. */
const readable = {
  base: { pid: process.pid },
  timestamp: pino.stdTimeFunctions.isoTime,
  formatters: { level: (label: string) => ({ level: label }) }
}

/** What Fastify's own logger takes. The context adds its fields without any option. */
export const lines = {
  ...readable,
  stream: stdout,
  serializers: { req: ({ method, url }: FastifyRequest) => ({ method, url }) }
}

/** A logger that knows of no request, in either process, and yet says whose line it is. */
export function logger (name: string): Logger {
  return pino({ ...readable, base: { ...readable.base, name }, mixin: ctx.mixin }, stdout)
}
