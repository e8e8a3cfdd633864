import type { FastifyBaseLogger } from 'fastify'
import type { Trace } from '../tracing/trace-context.ts'

/** A logger as Fastify hands it out. */
export type Logger = FastifyBaseLogger

/** The fields that a scope adds to its log lines, by name. */
export type Fields = Record<string, unknown>

/** A logger that wrote lines of a scope, and what they are written with. */
export interface Bound {
  readonly logger: object
  /** What the logger had bound itself when this was made: after `setBindings()` it is another. */
  readonly bindings: unknown
  /** That and the fields, as text, where it is all that the line has of its own; otherwise `twin` writes it. */
  readonly text: string | undefined
  readonly twin: object | undefined
}

/** The fields of a line as text. */
export interface LineText {
  /** The logger that writes them so. */
  readonly by: object
  /** What that logger had bound itself. */
  readonly own: string
  /** That, and after it the fields; `undefined` where one of them is among what the logger has bound. */
  readonly text: string | undefined
  /** Where in it the first field ends, which is the request id. */
  readonly idEnd: number
}

/** What the log lines of a scope carry, and the loggers that wrote them. */
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
  /** These as text, made at the first line. */
  text: LineText | undefined
  /** One for each logger that wrote lately. */
  readonly bound: Bound[]
}
