import { kFormatters, symbolOf } from '../common/symbols.ts'
import { hasField, membersOf } from './bindings-text.ts'

/** A pino logger, with what it keeps under symbols. */
export interface PinoLogger {
  [symbol: symbol]: unknown
  setBindings (bindings: object): void
}

/** Serializes a line: the object that is logged, the message, the number of the level, and the time as a piece of JSON. */
export type AsJson = (this: PinoLogger, object: object | undefined, message: string | undefined, level: number, time: string) => string

/**
 * The symbols that we use, by our names and by the descriptions that pino gives them. pino exports them as `pino.symbols`, for
 * libraries that adjust a logger's state or override its methods. Each copy of pino has its own, so they are looked up on the
 * logger by description.
 * @see https://getpino.io/#/docs/api?id=pino-symbols
 */
const PINO = {
  asJson: 'asJson',
  bindings: 'chindings',
  mixin: 'mixin',
  nestedKey: 'nestedKey',
  nestedKeyStart: 'nestedKeyStr',
  messageKey: 'messageKey',
  errorKey: 'errorKey',
  levels: 'lsCache',
  time: 'time',
  end: 'end',
  serializers: 'serializers',
  stringify: 'stringify',
  stringifySafe: 'stringifySafe',
  stringifiers: 'stringifiers'
} as const

export type PinoSymbols = { readonly [K in keyof typeof PINO]: symbol }

const pinos = new WeakMap<object, PinoSymbols | undefined>()

/** The symbols of the pino that made a logger; `undefined` for a logger that is not pino's. */
export function pinoSymbols (logger: object): PinoSymbols | undefined {
  // Each copy of pino gives its loggers a constructor of its own.
  const copy: unknown = logger.constructor
  if (typeof copy !== 'function') return undefined
  if (!pinos.has(copy)) pinos.set(copy, findPinoSymbols(logger))
  return pinos.get(copy)
}

function findPinoSymbols (logger: object): PinoSymbols | undefined {
  const symbols = Object.entries(PINO).map(([name, description]) => [name, symbolOf(logger, `pino.${description}`)] as const)
  return symbols.every(([, symbol]) => symbol !== undefined) ? Object.fromEntries(symbols) as PinoSymbols : undefined
}

/** The functions of a logger that change what it writes. */
export interface Formatters { readonly level: unknown, readonly bindings: unknown, readonly log?: (object: object) => object | undefined }

/** The functions that format what a logger writes. */
export function formattersOf (logger: PinoLogger): Formatters {
  return logger[kFormatters] as Formatters
}

/**
 * A property of an object or of its prototypes, as it is stored. A proxy is looked through: `pino-caller`, for one, answers
 * `get` with a function that calls the logger's own.
 */
export function stored (object: object, name: symbol): unknown {
  for (let holder: object | null = object; holder !== null; holder = Object.getPrototypeOf(holder) as object | null) {
    const descriptor = Object.getOwnPropertyDescriptor(holder, name)
    if (descriptor !== undefined) return descriptor.value
  }
  return undefined
}

const names = new WeakMap<object, readonly string[]>()

/** Whether a field of this name stands on each line of a logger, because it writes it or has it bound. */
export function writesField (logger: PinoLogger, name: string, symbols: PinoSymbols): boolean {
  return ownNames(logger, symbols).includes(name) || hasField(logger[symbols.bindings] as string, name)
}

/** What a logger itself writes on a line: the level and the time, whose names options may change, the message, the error, the nested object. */
function ownNames (logger: PinoLogger, symbols: PinoSymbols): readonly string[] {
  // Children share the cache of their root.
  const levels = logger[symbols.levels] as Record<string, string>
  let found = names.get(levels)
  if (found === undefined) {
    // Such as `{"level":30` and `,"time":1`.
    const start = `,${Object.values(levels)[0]!.slice(1)}${(logger[symbols.time] as () => string)()}`
    const keys = [symbols.messageKey, symbols.errorKey, symbols.nestedKey].map((key) => logger[key] as string | undefined)
    found = [...membersOf(start).map(({ name }) => name), ...keys.filter((key) => key !== undefined)]
    names.set(levels, found)
  }
  return found
}
