import { FST_CTX_INVALID_KEY } from './errors.ts'
import { lineOf } from './fields.ts'
import { kFormatters, pinoSymbols, type PinoSymbols } from './internals.ts'
import type { Fields, Line, Logger } from './line.ts'
import type { Policy } from './key.ts'
import type { Life, Scope } from './scope.ts'
import { currentScope } from './storage.ts'

const kCorrelated = Symbol('fastify-ctx.correlated')
const kLife = Symbol('fastify-ctx.life')

type Write = (this: PinoLogger, object: unknown, message: string | undefined, level: number) => void
type Mixin = (object: object, level: number, logger: object) => object

/** A pino logger as its write sees it. */
interface PinoLogger {
  [symbol: symbol]: unknown
  setBindings (bindings: object): void
}

/**
 * Makes every line of a logger, and of its children made before or after, carry the fields of the scope it is written in.
 * A line is written by a twin of its logger that has the fields bound, which is pino's cheapest way to write them.
 *
 * @returns false where the logger is no pino: its lines carry what Fastify binds, the request id
 * @throws FST_CTX_INVALID_KEY a field would stand on a line under a name that pino uses
 */
export function correlate (logger: Logger, policy: Policy, idLabel: string): boolean {
  const symbols = pinoSymbols(logger)
  if (symbols === undefined) return false
  const root = logger as unknown as PinoLogger
  for (const { name } of policy.logged) {
    if (name === idLabel || name === root[symbols.messageKey] || name === root[symbols.errorKey]) {
      throw new FST_CTX_INVALID_KEY(name, 'log lines have a field of this name already')
    }
  }
  if (kCorrelated in root) return true
  const write = root[symbols.write] as Write
  root[kCorrelated] = true
  root[symbols.write] = function correlatedWrite (this: PinoLogger, object: unknown, message: string | undefined, level: number): void {
    const scope = scopeOfLine(this)
    write.call(scope === undefined ? this : correlated(this, lineOf(scope), object, symbols), object, message, level)
  }
  return true
}

/**
 * Ties the logger that Fastify made for a request to that request: its lines are the request's wherever they are written.
 * A logger that the application shares between requests is left alone: it has the request id of none.
 */
export function tieLogger (logger: Logger, id: string, life: Life): void {
  if (!(kCorrelated in logger)) return
  const pino = logger as unknown as PinoLogger
  const bindings = pino[pinoSymbols(logger)!.bindings] as string
  if (bindings.includes(JSON.stringify(id))) pino[kLife] = life
}

/** The fields of a scope for a line of any other pino logger, as a fresh object; none where the line has them already. */
export function mixedIn (scope: Scope | undefined, logger: object | undefined): Fields {
  if (scope === undefined || (logger !== undefined && kCorrelated in logger)) return {}
  const { fields } = lineOf(scope)
  const symbols = logger === undefined ? undefined : pinoSymbols(logger)
  return symbols === undefined ? { ...fields } : missingIn(logger as unknown as PinoLogger, fields, symbols)
}

/** The scope a line belongs to: the current one, but never that of another request than the logger's own. */
function scopeOfLine (logger: PinoLogger): Scope | undefined {
  const current = currentScope()
  const life = logger[kLife] as Life | undefined
  return life === undefined || current?.root.life === life ? current : life.scope
}

/** The twin of a logger that has the fields of a line bound; made at the first line that the logger writes for it. */
function correlated (logger: PinoLogger, line: Line, object: unknown, symbols: PinoSymbols): PinoLogger {
  const repeated = repeatedIn(object, line.fields, logger, symbols)
  if (repeated !== undefined) return twin(logger, repeated, symbols)
  if (line.logger === logger) return line.correlated as PinoLogger
  if (line.logger === undefined) {
    line.logger = logger
    return (line.correlated = twin(logger, line.fields, symbols)) as PinoLogger
  }
  line.others ??= new Map()
  let other = line.others.get(logger)
  if (other === undefined) line.others.set(logger, other = twin(logger, line.fields, symbols))
  return other as PinoLogger
}

/** The fields that a line's own object does not name, where it names one: on a line, what was written there wins. */
function repeatedIn (object: unknown, fields: Fields, logger: PinoLogger, symbols: PinoSymbols): Fields | undefined {
  if (typeof object !== 'object' || object === null || object instanceof Error || logger[symbols.nestedKey]) return undefined
  const names = Object.keys(fields).filter((name) => Object.hasOwn(object, name) && (object as Fields)[name] !== undefined)
  return names.length === 0 ? undefined : without(fields, names)
}

function twin (logger: PinoLogger, fields: Fields, symbols: PinoSymbols): PinoLogger {
  const made = Object.create(logger) as PinoLogger
  const formatters = logger[kFormatters] as { bindings: unknown, log?: (object: object) => object }
  const { log } = formatters
  // The fields are a child's bindings, which pino does not send through `formatters.bindings`.
  made[kFormatters] = { ...formatters, bindings: asTheyAre, ...(log === undefined ? undefined : { log: (object: object) => unnamed(log(object), fields) }) }
  const mixin = logger[symbols.mixin] as Mixin | undefined
  if (mixin !== undefined && !logger[symbols.nestedKey]) {
    made[symbols.mixin] = (object: object, level: number) => unnamed(mixin(object, level, logger), fields)
  }
  made.setBindings(missingIn(logger, fields, symbols))
  return made
}

function asTheyAre (bindings: object): object {
  return bindings
}

/** The fields that a logger has not bound itself. */
function missingIn (logger: PinoLogger, fields: Fields, symbols: PinoSymbols): Fields {
  const bindings = logger[symbols.bindings] as string
  let bound: object | undefined
  const names = Object.keys(fields).filter((name) => {
    // Most loggers have bound none of them, which the text alone shows; a nested name costs a closer look.
    if (!bindings.includes(`${JSON.stringify(name)}:`)) return false
    bound ??= JSON.parse(`{${bindings.slice(1)}}`) as object
    return Object.hasOwn(bound, name)
  })
  return without(fields, names)
}

function without (fields: Fields, names: readonly string[]): Fields {
  const kept = { ...fields }
  for (const name of names) delete kept[name]
  return kept
}

/** What a mixin or formatter of the application returns, less what the line has bound. */
function unnamed (object: object, fields: Fields): object {
  for (const name of Object.keys(fields)) {
    if (Object.hasOwn(object, name)) return without({ ...object }, Object.keys(fields))
  }
  return object
}
