import { FST_CTX_INVALID_KEY } from './errors.ts'
import { lineOf, wantFields } from './fields.ts'
import { kFormatters, pinoSymbols, type PinoSymbols } from './internals.ts'
import type { Fields, Line, Logger } from './line.ts'
import type { Policy } from './policy.ts'
import type { Life, Scope } from './scope.ts'
import { currentScope } from './storage.ts'

const kCorrelated = Symbol('fastify-ctx.correlated')
const kLife = Symbol('fastify-ctx.life')
const kBindings = Symbol('fastify-ctx.bindings')
const kOriginal = Symbol('fastify-ctx.original')

/** How many twins a line keeps. */
const KEPT_TWINS = 4

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
  const taken = [idLabel, ...ownNames(root, symbols)]
  for (const { name } of policy.logged) {
    if (taken.includes(name)) throw new FST_CTX_INVALID_KEY(name, 'log lines have a field of this name already')
  }
  wantFields()
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
 * A logger that the application shares between requests is left alone: it has the request id of none, or of an earlier one.
 */
export function tieLogger (logger: Logger, id: string, life: Life): void {
  if (!(kCorrelated in logger)) return
  const pino = logger as unknown as PinoLogger
  const bindings = pino[pinoSymbols(logger)!.bindings] as string
  const { idLabel } = life.scope.registration
  if (Object.hasOwn(pino, kLife)) pino[kLife] = undefined
  else if (bindings.includes(`"${idLabel}":${JSON.stringify(id)}`)) pino[kLife] = life
}

/** The fields of a scope for a line of any other pino logger, as a fresh object; none where the line has them already. */
export function mixedIn (scope: Scope | undefined, logger: object | undefined): Fields {
  if (scope === undefined || (logger !== undefined && kCorrelated in logger)) return {}
  const { own: fields } = lineOf(scope)
  const symbols = logger === undefined ? undefined : pinoSymbols(logger)
  if (symbols === undefined) return { ...fields }
  const pino = logger as unknown as PinoLogger
  // A copy: pino writes the line's own object into it.
  const mixed = { ...missingIn(pino, fields, symbols) }
  if (!pino[symbols.nestedKey]) for (const name of ownNames(pino, symbols)) delete mixed[name]
  return mixed
}

const names = new WeakMap<object, readonly string[]>()

/** What a logger itself writes on a line: the level and the time, under whatever names, the message, the error, the nested object. */
function ownNames (logger: PinoLogger, symbols: PinoSymbols): readonly string[] {
  // Each logger that is no child has a cache of its own.
  const levels = logger[symbols.levels] as Record<string, string>
  let found = names.get(levels)
  if (found === undefined) {
    const start = `${Object.values(levels)[0]}${(logger[symbols.time] as () => string)()}}`
    const keys = [symbols.messageKey, symbols.errorKey, symbols.nestedKey].map((key) => logger[key] as string | undefined)
    found = [...Object.keys(JSON.parse(start) as object), ...keys.filter((key) => key !== undefined)]
    names.set(levels, found)
  }
  return found
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
  const twins = line.twins as PinoLogger[]
  for (let i = 0; i < twins.length; i++) {
    // After `logger.setBindings()` a twin made before is one of the logger as it was.
    if (twins[i]![kOriginal] === logger && twins[i]![kBindings] === logger[symbols.bindings]) return twins[i]!
  }
  const fresh = twin(logger, line.fields, symbols)
  // A request has few loggers; who makes a child for each line needs no twin of it again.
  if (twins.length === KEPT_TWINS) twins.shift()
  twins.push(fresh)
  return fresh
}

/** The fields that a line's own object does not name, where it names one: on a line, what was written there wins. */
function repeatedIn (object: unknown, fields: Fields, logger: PinoLogger, symbols: PinoSymbols): Fields | undefined {
  if (typeof object !== 'object' || object === null || object instanceof Error || logger[symbols.nestedKey]) return undefined
  for (const name in fields) {
    if (Object.hasOwn(object, name) && (object as Fields)[name] !== undefined) return without(fields, object as Fields)
  }
  return undefined
}

function twin (logger: PinoLogger, fields: Fields, symbols: PinoSymbols): PinoLogger {
  const made = likeness(logger, symbols)
  // Under a nested key the names are those of another object.
  const taken = logger[symbols.nestedKey] ? {} : fields
  made[kOriginal] = logger
  made[kBindings] = logger[symbols.bindings]
  made[kFormatters] = formattersFor(logger[kFormatters] as Formatters, taken)
  const mixin = logger[symbols.mixin] as Mixin | undefined
  if (mixin !== undefined) {
    made[symbols.mixin] = (object: object, level: number) => without(mixin(object, level, logger), taken)
  }
  made.setBindings(missingIn(logger, fields, symbols))
  return made
}

/** A logger that is another in all but what will be its own. */
function likeness (logger: PinoLogger, symbols: PinoSymbols): PinoLogger {
  if (Object.hasOwn(logger, symbols.write)) return Object.create(logger) as PinoLogger
  // A child becomes nobody's prototype: each request has its own, and a prototype of its own makes all access slow.
  return Object.assign(Object.create(Object.getPrototypeOf(logger) as object) as PinoLogger, logger)
}

interface Formatters { bindings: unknown, log?: (object: object) => object | undefined }

/** The fields are a child's bindings, which pino does not send through `formatters.bindings`. */
function formattersFor (formatters: Formatters, fields: Fields): Formatters {
  const { log } = formatters
  if (log === undefined) return { ...formatters, bindings: asTheyAre }
  return { ...formatters, bindings: asTheyAre, log: (object: object) => without(log(object), fields) }
}

function asTheyAre (bindings: object): object {
  return bindings
}

/** The fields that a logger has not bound itself. */
function missingIn (logger: PinoLogger, fields: Fields, symbols: PinoSymbols): Fields {
  const bindings = logger[symbols.bindings] as string
  let missing = fields
  for (const name in fields) {
    // Most loggers have bound none of them, which the text alone shows.
    if (!bindings.includes(`"${name}":`)) continue
    // Fastify binds the request id last: what the text ends with is no part of anything nested, which costs a closer look.
    const value = fields[name]
    if (typeof value !== 'string' || !bindings.endsWith(`,"${name}":"${value}"`)) return without(fields, JSON.parse(`{${bindings.slice(1)}}`) as Fields)
    missing = without(missing, { [name]: value })
  }
  return missing
}

/** What is in `fields` less what is in `others`, too. A formatter may return nothing. */
function without (fields: object | undefined, others: Fields): Fields {
  const kept: Fields = {}
  for (const [name, field] of Object.entries(fields ?? {})) {
    if (!Object.hasOwn(others, name) || others[name] === undefined) kept[name] = field
  }
  return kept
}
