import type { FastifyRequest } from 'fastify'
import pino from 'pino'
import { ctx } from './context.ts'

/** One for all loggers, and synchronous: two destinations on one stdout would mix up the order of their lines. */
const stdout = pino.destination({ dest: 1, sync: true })

/** Lines that a person can read: words for levels, times of day, no process id and host on each. */
const readable = {
  base: null,
  timestamp: pino.stdTimeFunctions.isoTime,
  formatters: { level: (label: string) => ({ level: label }) }
}

/** What Fastify's own logger takes. The context adds its fields without any option. */
export const lines = {
  ...readable,
  stream: stdout,
  serializers: { req: ({ method, url }: FastifyRequest) => ({ method, url }) }
}

/** Who did what: a logger of its own, which knows of no request and yet says whose line it is. */
export const audit = pino({ ...readable, base: { name: 'audit' }, mixin: ctx.mixin }, stdout)
