import { kFormatters, type PinoLogger, type PinoSymbols } from './pino-seams.ts'
import type { Fields } from '../scope/line.ts'

type Mixin = (object: object, level: number, logger: object) => object

interface Formatters { bindings: unknown, log?: (object: object) => object | undefined }

/** A logger that writes what another does, with fields bound that win over what its mixin and formatters give. */
export function twinOf (logger: PinoLogger, fields: Fields, symbols: PinoSymbols): PinoLogger {
  const made = likenessOf(logger, symbols)
  // Under a nested key the names are those of another object.
  const taken = logger[symbols.nestedKey] ? {} : fields
  const formatters = made[kFormatters] as Formatters
  const { log } = formatters
  if (log !== undefined) made[kFormatters] = { ...formatters, log: (object: object) => without(log(object), taken) }
  const mixin = logger[symbols.mixin] as Mixin | undefined
  if (mixin !== undefined) {
    made[symbols.mixin] = (object: object, level: number) => without(mixin(object, level, logger), taken)
  }
  made.setBindings(missingIn(logger, fields, symbols))
  return made
}

/** A logger that is another in all but what it will have bound: a child's bindings, which pino does not send through `formatters.bindings`. */
export function likenessOf (logger: PinoLogger, symbols: PinoSymbols): PinoLogger {
  const made = Object.hasOwn(logger, symbols.write)
    ? Object.create(logger) as PinoLogger
    // A child becomes nobody's prototype: each request has its own, and a prototype of its own makes all access slow.
    : Object.assign(Object.create(Object.getPrototypeOf(logger) as object) as PinoLogger, logger)
  made[kFormatters] = { ...logger[kFormatters] as Formatters, bindings: asTheyAre }
  return made
}

function asTheyAre (bindings: object): object {
  return bindings
}

/** The fields that a logger has not bound itself. */
export function missingIn (logger: PinoLogger, fields: Fields, symbols: PinoSymbols): Fields {
  const bindings = logger[symbols.bindings] as string
  // Most loggers have bound none of them, which the text alone shows.
  for (const name in fields) if (names(bindings, name)) return without(fields, JSON.parse(`{${bindings.slice(1)}}`) as Fields)
  return fields
}

/** Whether a text of bindings has a field of this name, at whatever depth. */
export function names (bindings: string, name: string): boolean {
  return bindings.includes(`"${name}":`)
}

/** What is in `fields` less what is in `others`, too. A formatter may return nothing. */
export function without (fields: object | undefined, others: Fields): Fields {
  const kept: Fields = {}
  for (const [name, field] of Object.entries(fields ?? {})) {
    if (!Object.hasOwn(others, name) || others[name] === undefined) kept[name] = field
  }
  return kept
}
