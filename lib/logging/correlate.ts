import { FST_CTX_INVALID_KEY } from '../common/errors.ts'
import { lineOf, wantFields } from './fields.ts'
import { errorOf, withoutFields } from './logger-view.ts'
import { pinoSymbols, stored, writesField, type AsJson, type PinoLogger, type PinoSymbols } from './pino-seams.ts'
import { tieOf } from './request-logger.ts'
import { lineSerializer } from './serialize-line.ts'
import type { Logger } from '../scope/line.ts'
import type { Policy } from '../config/key-policies.ts'
import type { Scope } from '../scope/scope.ts'
import { scopeOfFailure } from '../scope/failures.ts'
import { currentScope } from '../scope/storage.ts'

type Mixin = (object: object, level: number, logger: object) => object

type Method = (...args: never[]) => unknown

/** Our methods on loggers that are correlated, and those that they replace. */
const replaced = new WeakMap<object, Method>()

/** The loggers that are correlated: for how many applications, and how that is undone. */
const correlated = new WeakMap<object, { count: number, readonly undo: () => void }>()

/**
 * Refuses keys whose field the loggers of an application have already.
 *
 * @throws FST_CTX_INVALID_KEY
 */
export function checkFields (logger: Logger, policy: Policy, idLabel: string): void {
  const symbols = pinoSymbols(logger)
  if (symbols === undefined) return
  for (const { name } of policy.logged) {
    if (name === idLabel || writesField(logger as unknown as PinoLogger, name, symbols)) throw new FST_CTX_INVALID_KEY(name, 'log lines have a field of this name already')
  }
}

/**
 * Makes every line of the logger of an application, and of its children made before or after, carry the fields of the scope
 * it is written in. A logger that was given to Fastify as `loggerInstance` is correlated as well, until this is undone.
 *
 * @returns what undoes it, for the logger that is not the application's own
 */
export function correlate (logger: Logger): () => void {
  const symbols = pinoSymbols(logger)
  if (symbols === undefined) return () => {}
  wantFields()
  const root = logger as unknown as PinoLogger
  // Fastify makes its own logger as a child of the `loggerInstance`.
  const given = Object.getPrototypeOf(root) as PinoLogger
  const isGiven = Object.hasOwn(given, symbols.bindings)
  // A proxy such as pino-caller's has the first and the last word on `asJson`: what it calls is replaced, below it.
  if (root[symbols.asJson] === stored(root, symbols.asJson) && !correlated.has(root)) replaceMethods(root, symbols)
  return isGiven && Object.isExtensible(given) ? shared(given, symbols) : () => {}
}

/** Correlates a logger that several applications may have, until the last of them undoes it. */
function shared (logger: PinoLogger, symbols: PinoSymbols): () => void {
  const known = correlated.get(logger) ?? replaceMethods(logger, symbols)
  known.count++
  return () => { if (--known.count === 0) known.undo() }
}

/**
 * Replaces `asJson`, and a mixin. When pino calls `asJson` it has noted the time and called the mixin, and then it writes to the
 * logger's own stream: what a tool sets on a child holds. A tool that wraps `asJson` does not see us in its stack traces.
 */
function replaceMethods (logger: PinoLogger, symbols: PinoSymbols): { count: number, readonly undo: () => void } {
  const before = stored(logger, symbols.asJson) as AsJson
  const asJson = (replaced.get(before) ?? before) as AsJson
  const serializeLine = lineSerializer(logger, asJson, asJson !== pinosOwn(logger, symbols), symbols)
  let isUndone = false
  function correlatedAsJson (this: PinoLogger, object: object | undefined, message: string | undefined, level: number, time: string): string {
    const scope = isUndone ? undefined : scopeOfFailure(errorOf(object, this[symbols.errorKey] as string), scopeOfLine(this))
    return scope === undefined
      ? asJson.call(this, object, message, level, time)
      : serializeLine(lineOf(scope), scope.registration.idLabel, this, object, message, level, time)
  }
  const restores = [replace(logger, symbols.asJson, correlatedAsJson, asJson)]

  const mixinBefore = stored(logger, symbols.mixin) as Mixin | undefined
  if (typeof mixinBefore === 'function') {
    const mixin = (replaced.get(mixinBefore) ?? mixinBefore) as Mixin
    restores.push(replace(logger, symbols.mixin, correlatedMixin, mixin))
    function correlatedMixin (object: object, level: number, writer: PinoLogger): object {
      const mixed = mixin(object, level, writer)
      const scope = isUndone || writer[symbols.nestedKey] ? undefined : scopeOfLine(writer)
      return scope === undefined ? mixed : withoutFields(mixed, lineOf(scope).fields)
    }
  }
  const made = { count: 0, undo }
  correlated.set(logger, made)
  return made

  function undo (): void {
    // A tool that replaced our methods since still calls them.
    isUndone = true
    correlated.delete(logger)
    for (const restore of restores) restore()
  }
}

/** `asJson` as pino has it on the prototype of all loggers, which has bound nothing. */
function pinosOwn (logger: PinoLogger, symbols: PinoSymbols): unknown {
  let holder = logger
  while (Object.hasOwn(holder, symbols.bindings)) holder = Object.getPrototypeOf(holder) as PinoLogger
  return holder[symbols.asJson]
}

/** Replaces a method of a logger. Returns what undoes it, unless somebody else has replaced ours since. */
function replace (logger: PinoLogger, name: symbol, method: Method, original: Method): () => void {
  replaced.set(method, original)
  const before = Object.getOwnPropertyDescriptor(logger, name)
  Object.defineProperty(logger, name, { value: method, writable: true, configurable: true, enumerable: before?.enumerable ?? false })
  return () => {
    if (Object.getOwnPropertyDescriptor(logger, name)?.value !== method) return
    if (before === undefined) Reflect.deleteProperty(logger, name)
    else Object.defineProperty(logger, name, before)
  }
}

/** Whether the lines of a logger have the fields of the current scope already. */
export function isCorrelated (logger: object, symbols: PinoSymbols): boolean {
  return replaced.has(stored(logger, symbols.asJson) as Method)
}

/** The scope that a line belongs to: the current one, but never another request's than the logger's own. */
function scopeOfLine (logger: PinoLogger): Scope | undefined {
  const current = currentScope()
  const tie = tieOf(logger)
  if (tie === undefined) return current
  const { lifetime } = tie
  // Its scope is not open yet: what is current is the scope of the work that sent the request.
  if (lifetime === undefined) return undefined
  return current?.root.lifetime === lifetime ? current : lifetime.innermost
}
