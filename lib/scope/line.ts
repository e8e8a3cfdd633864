import type { FastifyBaseLogger } from 'fastify'
import type { Trace } from '../tracing/trace-context.ts'

/** A logger as Fastify hands it out. */
export type Logger = FastifyBaseLogger

/** The fields that a scope adds to its log lines, by name. */
export type Fields = Record<string, unknown>

/** A logger that wrote lines of a scope, and the bindings with which it writes them. */
export interface Bound {
  readonly logger: object
  /** What the logger itself had bound when this was made. `setBindings()` changes it. */
  readonly bindings: string
  /** That, extended by the fields. */
  readonly text: string
  /** What serializes for it, if it differs from the logger that is correlated in more than its bindings. */
  readonly view: object | undefined
}

/** The fields of a line as text. */
export interface LineText {
  /** The logger that writes them so. */
  readonly by: object
  /** What that logger has bound itself. */
  readonly own: string
  /** That, extended by the first field, which is the request id. */
  readonly id: string
  /** That, extended by the other fields; `undefined` where one of all is among what the logger has bound. */
  readonly text: string | undefined
}

/** What the log lines of a scope carry, and the loggers that wrote them. */
export interface Line {
  /** The values from which the fields were created, in the order of the policy's `logged`. Other values need another line. */
  values: readonly unknown[]
  /** The place in a trace that they name. */
  readonly trace: Trace | undefined
  /** The line of the scope of another context around this one, whose fields are included. */
  readonly enclosing: Line | undefined
  /** The fields of this scope alone. */
  readonly own: Fields
  /** These, and those of other contexts around it. */
  readonly fields: Fields
  /** These as text, made at the first line. */
  text: LineText | undefined
  /** One for each logger that wrote lately. */
  readonly bound: Bound[]
}
