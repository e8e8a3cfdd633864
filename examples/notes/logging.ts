import type { FastifyRequest } from 'fastify'
import pino, { type Logger } from 'pino'
import { ctx } from './context.ts'

/** One synchronous destination for all loggers. Two destinations on one stdout would mix up the order of their lines. */
const stdout = pino.destination({ dest: 1, sync: true })

/** Readable lines: level names and times of day. The process id distinguishes the service from its worker. */
const readable = {
  base: { pid: process.pid },
  timestamp: pino.stdTimeFunctions.isoTime,
  formatters: { level: (label: string) => ({ level: label }) }
}

/** The options of Fastify's own logger. The context adds its fields without any option. */
export const lines = {
  ...readable,
  stream: stdout,
  serializers: { req: ({ method, url }: FastifyRequest) => ({ method, url }) }
}

/** A logger without access to the request, in either process. Its lines still have the id, the tenant and the user. */
export function logger (name: string): Logger {
  return pino({ ...readable, base: { ...readable.base, name }, mixin: ctx.mixin }, stdout)
}
