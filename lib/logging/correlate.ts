import { FST_CTX_INVALID_KEY } from '../common/errors.ts'
import { lineOf, wantFields } from './fields.ts'
import { pinoSymbols, type PinoLogger, type PinoSymbols, type PinoWrite } from './pino-seams.ts'
import type { Fields, Logger } from '../scope/line.ts'
import type { Policy } from '../config/key-policies.ts'
import type { Life, Scope } from '../scope/scope.ts'
import { scopeOfFailure } from '../scope/failures.ts'
import { currentScope } from '../scope/storage.ts'
import { missingIn } from './twin.ts'
import { correlatedWriter } from './writer.ts'

const kCorrelated = Symbol('fastify-ctx.correlated')
const kLife = Symbol('fastify-ctx.life')

/**
 * Makes every line of a logger, and of its children made before or after, carry the fields of the scope it is written in.
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
  const write = root[symbols.write] as PinoWrite
  root[kCorrelated] = symbols
  root[symbols.write] = function correlatedWrite (this: PinoLogger, object: unknown, message: string | undefined, level: number): void {
    const scope = scopeOfFailure(errorOf(object), scopeOfLine(this, symbols))
    if (scope === undefined) write.call(this, object, message, level)
    else writeWith(lineOf(scope), this, object, message, level)
  }
  const writeWith = correlatedWriter(root, write, symbols)
  return true
}

/** Ties the logger that Fastify made for a request to that request: its lines are the request's wherever they are written. */
export function tieLogger (logger: Logger, life: Life): void {
  const pino = logger as unknown as PinoLogger
  if (pino[kCorrelated] === undefined) return
  // Of two requests that have the same logger, none has it for itself.
  pino[kLife] = Object.hasOwn(pino, kLife) ? undefined : life
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

/** The error that a line is about, as pino and Fastify write it: alone, or under `err`. */
export function errorOf (object: unknown): unknown {
  return object instanceof Error ? object : (object as { readonly err?: unknown } | null | undefined)?.err
}

/** The scope a line belongs to: the current one, but never that of another request than the logger's own. */
function scopeOfLine (logger: PinoLogger, symbols: PinoSymbols): Scope | undefined {
  const current = currentScope()
  const life = logger[kLife] as Life | undefined
  if (life === undefined || current?.root.life === life) return current
  return hasIdOf(life.scope, logger[symbols.bindings] as string) ? life.innermost : current
}

/**
 * Whether a logger that is tied to the request of a scope, or a child of it, has bound its id. One that the application
 * shares between requests has the id of none, or of an earlier one. Fastify binds it last, and most have nothing that JSON escapes.
 */
function hasIdOf (scope: Scope, bindings: string): boolean {
  const { idLabel } = scope.registration
  const id = lineOf(scope).own[idLabel]
  return bindings.endsWith(`"${idLabel}":"${String(id)}"`) || bindings.includes(`"${idLabel}":${JSON.stringify(id)}`)
}
