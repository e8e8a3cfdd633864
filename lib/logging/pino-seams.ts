import { symbolOf } from '../common/symbols.ts'

/** A pino logger as its write sees it. */
export interface PinoLogger {
  [symbol: symbol]: unknown
  setBindings (bindings: object): void
}

/** What writes a line of a pino logger. */
export type PinoWrite = (this: PinoLogger, object: unknown, message: string | undefined, level: number) => void

/** The symbols under which one copy of pino keeps what its loggers share, by what we call them and by how it describes them. */
const PINO = {
  write: 'write',
  bindings: 'chindings',
  mixin: 'mixin',
  nestedKey: 'nestedKey',
  messageKey: 'messageKey',
  errorKey: 'errorKey',
  levels: 'lsCache',
  time: 'time',
  stream: 'stream',
  serializers: 'serializers',
  stringifiers: 'stringifiers'
} as const

export type PinoSymbols = { readonly [K in keyof typeof PINO]: symbol }

const pinos = new WeakMap<object, PinoSymbols | undefined>()

/** The symbols of the pino that made a logger; `undefined` for a logger that is no pino. */
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

/** pino's formatters, which it keeps under a public symbol. */
export const kFormatters: unique symbol = Symbol.for('pino.formatters') as never

/** Marks a stream that is told more of each line than its text. */
export const kNeedsMetadata: unique symbol = Symbol.for('pino.metadata') as never
