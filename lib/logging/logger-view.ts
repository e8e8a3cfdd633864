import { kFormatters } from '../common/symbols.ts'
import { formattersOf, type Formatters, type PinoLogger, type PinoSymbols } from './pino-seams.ts'
import type { Fields } from '../scope/line.ts'

/** Another object that pino serializes as it does a logger, with other bindings. */
export function viewOf (logger: PinoLogger, bindings: string, added: Fields, symbols: PinoSymbols): PinoLogger {
  const view = Object.create(logger) as PinoLogger
  // Not by assignment, which fails below a frozen logger.
  Object.defineProperty(view, symbols.bindings, { value: bindings, writable: true })
  const formatters = filtered(logger, added, symbols)
  if (formatters !== undefined) Object.defineProperty(view, kFormatters, { value: formatters })
  return view
}

/** The formatters of a logger, if what its `log` returns would stand beside the fields: without their names. */
export function filtered (logger: PinoLogger, added: Fields, symbols: PinoSymbols): Formatters | undefined {
  const formatters = formattersOf(logger)
  const { log } = formatters
  if (log === undefined || logger[symbols.nestedKey]) return undefined
  return { ...formatters, log: (object) => withoutFields(log.call(formatters, object), added) }
}

/** Gives a logger another value for a while. Returns what undoes it. */
export function swap (logger: PinoLogger, name: symbol, value: unknown): () => void {
  const before = Object.getOwnPropertyDescriptor(logger, name)
  logger[name] = value
  return () => {
    if (before === undefined) Reflect.deleteProperty(logger, name)
    else logger[name] = before.value
  }
}

/** Whether no line, mixin, formatter or child logger replaces a field of this name within a scope. */
export function isReserved (name: string, idLabel: string): boolean {
  return name === idLabel || name === 'actor' || name === 'reason'
}

/**
 * Whether an object has a field of this name: an enumerable property of its own that is not undefined, as pino writes. A getter
 * counts as a field. It is not called, because pino calls it.
 */
export function says (object: object, name: string): boolean {
  if (!Object.hasOwn(object, name)) return false
  const { enumerable, get, value } = Object.getOwnPropertyDescriptor(object, name)!
  return enumerable === true && (get !== undefined || value !== undefined)
}

/** Whether an object has nothing that pino writes, as on a line with a message only. It is a quick answer for most lines. */
export function isEmpty (object: object): boolean {
  // eslint-disable-next-line no-unreachable-loop -- nothing else sees it as fast: Object.keys allocates
  for (const _ in object) return false
  return true
}

/** An object without what it says under the names of fields: itself where it says nothing. A mixin or formatter may return nothing. */
export function withoutFields<T extends object | undefined> (object: T, fields: Fields): T {
  if (typeof object !== 'object' || object === null) return object
  return withoutNames(object, Object.keys(fields).filter((name) => fields[name] !== undefined && says(object, name)))
}

/** An object without the properties of these names: itself if there are none. What is left keeps its getters and its prototype. */
export function withoutNames<T extends object> (object: T, names: readonly string[]): T {
  if (names.length === 0) return object
  const properties = Object.getOwnPropertyDescriptors(object) as Record<string, PropertyDescriptor>
  for (const name of names) Reflect.deleteProperty(properties, name)
  return Object.create(Object.getPrototypeOf(object) as object | null, properties) as T
}

/**
 * The error that a line is about: under the `errorKey`, where pino puts an error that is logged alone, or under `err`, where
 * Fastify puts it. A getter is not called, because pino calls it.
 */
export function errorOf (object: object | undefined, errorKey = 'err'): unknown {
  if (object === undefined || isEmpty(object)) return undefined
  return valueOf(object, errorKey) ?? (errorKey === 'err' ? undefined : valueOf(object, 'err'))
}

function valueOf (object: object, name: string): unknown {
  return Object.hasOwn(object, name) ? Object.getOwnPropertyDescriptor(object, name)!.value : undefined
}
