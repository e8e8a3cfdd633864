import type { FastifyBaseLogger } from 'fastify'
import type { Trace } from './trace.ts'

/** A logger as Fastify hands it out. */
export type Logger = FastifyBaseLogger

/** The fields that a scope adds to its log lines, by name. */
export type Fields = Record<string, unknown>

/** What the log lines of a scope carry, and the loggers that carry it. */
export interface Line {
  /** The values the fields were made of, in the order of the policy's `logged`: other values, another line. */
  values: readonly unknown[]
  /** The place in a trace that they name. */
  readonly trace: Trace | undefined
  /** The line of the scope of another context around this one, whose fields are included. */
  readonly outer: Line | undefined
  /** The fields of this scope alone. */
  readonly own: Fields
  /** These, and those of other contexts around it. */
  readonly fields: Fields
  /** The loggers with the fields bound, one for each that wrote lately. */
  readonly twins: object[]
}
