import type { Logger } from '../scope/line.ts'

function writeNothing (): void {}

/** A logger that writes nothing, for where no application has one. Its children are itself, as with Fastify's `logger: false`. */
export const silentLogger: Logger = {
  level: 'silent',
  fatal: writeNothing,
  error: writeNothing,
  warn: writeNothing,
  info: writeNothing,
  debug: writeNothing,
  trace: writeNothing,
  silent: writeNothing,
  child: () => silentLogger
}
