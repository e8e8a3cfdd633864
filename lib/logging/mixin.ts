import { isCorrelated } from './correlate.ts'
import { fieldText, KeptField } from './field-text.ts'
import { lineOf } from './fields.ts'
import { errorOf, isReserved, says } from './logger-view.ts'
import { pinoSymbols, writesField, type PinoLogger, type PinoSymbols } from './pino-seams.ts'
import type { Fields } from '../scope/line.ts'
import type { Scope } from '../scope/scope.ts'

/**
 * The fields of a scope for a line of a pino logger that no application has, as a fresh object; none where the line has them already.
 *
 * @param object what is logged, which pino adds to what a mixin returns
 */
export function mixedIn (scope: Scope | undefined, object: object | undefined, logger: object | undefined): Fields {
  const mixed: Fields = {}
  if (scope === undefined) return mixed
  const symbols = logger === undefined ? undefined : pinoSymbols(logger)
  const pino = logger as PinoLogger
  if (symbols !== undefined && isCorrelated(pino, symbols)) return mixed
  const { own } = lineOf(scope)
  for (const name in own) {
    const field = own[name]
    if (symbols !== undefined && !isWritable(name, field, pino, symbols)) continue
    if (object !== undefined && isReserved(name, scope.registration.idLabel) && says(object, name)) reserve(mixed, name, valueOf(field))
    else mixed[name] = valueOf(field)
  }
  return mixed
}

/** Whether a field can stand on a line: its name is free, and its value does not throw, which would throw out of the line. */
function isWritable (name: string, field: unknown, logger: PinoLogger, symbols: PinoSymbols): boolean {
  // Under a nested key the names are those of another object.
  if (!logger[symbols.nestedKey] && writesField(logger, name, symbols)) return false
  return typeof field !== 'object' || field === null || fieldText(logger, symbols)(name, field) !== ''
}

/** A property that stays as it is when pino assigns what is logged to it. */
function reserve (fields: Fields, name: string, value: unknown): void {
  Object.defineProperty(fields, name, { enumerable: true, configurable: true, get: () => value, set () {} })
}

function valueOf (field: unknown): unknown {
  return field instanceof KeptField ? field.value : field
}

export { errorOf }
