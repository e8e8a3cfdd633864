import { randomUUID } from 'node:crypto'
import { startAfterTasks, runOnEnd } from './detached.ts'
import { checkLimits, limit, releaseLimits, type Limits } from './cancellation.ts'
import { publishEnd, publishOpen } from '../scope/diagnostics-channel.ts'
import { FST_CTX_INVALID_ARGUMENT, FST_CTX_LOCKED, FST_CTX_REQUEST_ID_FIXED } from '../common/errors.ts'
import { ownOptions } from '../common/own-options.ts'
import type { ContextDefinition } from './context-definition.ts'
import { isSafeId } from '../config/request-id.ts'
import { checkNow } from '../config/schema.ts'
import { openJobTrace } from '../scope/active-trace.ts'
import { noteFailure } from '../scope/failures.ts'
import { Scope } from '../scope/scope.ts'
import { currentScope, currentStore, processStorage } from '../scope/storage.ts'
import { tallyOf } from '../scope/tally.ts'
import { lifetimeAround, scopeOf } from '../scope/lookup.ts'

/** The options of `ctx.run`. */
export interface RunOptions extends Limits {
  /** With `false` the scope is a root with its own request id and sees nothing of the surrounding scope. Default `true`. */
  readonly inherit?: boolean
  /**
   * The id of the handled message, if many arrive on one connection. Log lines have it as `messageId`, beside the request id.
   * It may come from a client, so an unsafe or missing id is replaced by a new UUID. The scope is a unit of work for `ctx.root`.
   */
  readonly messageId?: unknown
}

const RUN_OPTIONS: ReadonlySet<string> = new Set(['inherit', 'messageId', 'timeout', 'deadline', 'signal'])

/**
 * Checks the function and the options of `ctx.run` before anything opens.
 *
 * @returns the options without properties of `Object.prototype`
 * @throws FST_CTX_INVALID_ARGUMENT
 */
export function checkRun (fn: unknown, given: RunOptions | undefined): RunOptions | undefined {
  if (typeof fn !== 'function') throw new FST_CTX_INVALID_ARGUMENT('ctx.run', 'a function to call second, after the values')
  if (given === undefined) return undefined
  const options = ownOptions(given)
  for (const name of Object.keys(options)) if (!RUN_OPTIONS.has(name)) throw new FST_CTX_INVALID_ARGUMENT('ctx.run', `no option '${name}', only ${[...RUN_OPTIONS].join(', ')}`)
  checkLimits(options)
  return options
}

/**
 * Opens a scope with some values below `parent`, or a root if there is no parent or the parent has ended. Only `ctx.impersonate`
 * may shadow locked keys. If a value is refused, no scope stays open.
 */
export function openScope (definition: ContextDefinition, parent: Scope | undefined, values: Readonly<Record<string, unknown>>, call: 'ctx.run' | 'ctx.impersonate' | 'ctx.hydrate', registration = parent?.registration ?? definition.openOutside()): Scope {
  if (typeof values !== 'object' || values === null) throw new FST_CTX_INVALID_ARGUMENT(call, 'an object of values first, {} for none')
  // Code that the ended request calls still acts on the new root, so the root has the lifetime of the request.
  const lifetime = parent?.root.ended === true ? parent.root.lifetime : undefined
  if (parent?.root.ended === true) parent = undefined
  const names = Object.keys(values)
  for (const name of names) {
    if (name === 'requestId') checkId(values.requestId, parent)
    else definition.checkKey(name)
    if (call === 'ctx.run') checkLock(name, parent)
  }
  if (parent === undefined) registration.stores.expect(names.length)
  const scope = new Scope(definition, registration, parent, outerOf(definition, parent), lifetime)
  if (parent === undefined) {
    scope.store.requestId = randomUUID()
    openJobTrace(scope)
  }
  try {
    const { schemas } = registration.policy
    scope.begin(names)
    for (const name of names) scope.first(name, schemas.size === 0 ? values[name] : checkNow(name, values[name], schemas.get(name)))
  } catch (error) {
    // A getter of the values threw, or a schema refused a value.
    scope.settle()
    throw error
  }
  return scope
}

/** Gives a scope the id of the message that is handled in it, by the rules of a request id. */
export function setMessageId (scope: Scope, given: unknown): void {
  const id = typeof given === 'number' ? String(given) : given
  scope.state().messageId = isSafeId(id) && scope.registration.idPattern.test(id) ? id : randomUUID()
}

/** Calls `fn` in a new scope. The scope is done when `fn` returns, or when its promise settles. */
export function runIn<R> (scope: Scope, fn: () => R, options: RunOptions | undefined): R {
  beginRun(scope, fn, options)
  return processStorage.run(scope.store, finishing, scope, fn) as R
}

/** Prepares a scope for its function, which `finishing` calls in the scope. */
export function beginRun (scope: Scope, fn: () => unknown, options: RunOptions | undefined): void {
  if (options !== undefined) limit(scope, options)
  scope.work = fn
  if (scope.parent === undefined) publishOpen(scope)
  else tallyOf(scope.definition)?.begin(scope)
}

/** The innermost scope whose function has been called and has not returned, not even a promise. */
let starting: Scope | undefined

/** Whether the function of a scope has not returned yet, so that this code is called by it. */
export function isStarting (scope: Scope): boolean {
  return scope === starting
}

/** Calls `fn`, then ends its scope. Called in the scope, because Node.js reports an unhandled rejection in the scope in which its promise was made. */
export function finishing<R> (scope: Scope, fn: () => R): R {
  let result: R
  const around = starting
  starting = scope
  try {
    result = fn()
  } catch (error) {
    noteFailure(error, scope)
    finish(scope)
    throw error
  } finally {
    starting = around
  }
  // Other thenables are returned unchanged, because a query that nobody awaits must not be sent.
  if (!(result instanceof Promise)) {
    finish(scope)
    return result
  }
  // The returned promise settles like this one, so Node.js reports its rejection if nobody handles it.
  return result.then((value: unknown) => {
    finish(scope)
    return value
  }, (error: unknown) => {
    noteFailure(error, scope)
    finish(scope)
    throw error
  }) as R
}

/**
 * Writes a value after the schema of its key, if there is one, has checked it.
 *
 * @throws FST_CTX_INVALID_VALUE
 * @throws FST_CTX_ASYNC_SCHEMA
 */
export function writeChecked (scope: Scope, name: string, value: unknown): void {
  const { schemas } = scope.registration.policy
  scope.write(name, schemas.size === 0 ? value : checkNow(name, value, schemas.get(name)))
}

/**
 * Throws if a locked key already has a value.
 *
 * @throws FST_CTX_LOCKED
 */
export function checkLock (name: string, scope: Scope | undefined): void {
  if (scope?.registration.policy.locked.has(name) === true && scope.store[name] !== undefined) throw new FST_CTX_LOCKED(name)
}

function checkId (id: unknown, parent: Scope | undefined): void {
  if (parent !== undefined) throw new FST_CTX_REQUEST_ID_FIXED()
  if (!isSafeId(id)) throw new FST_CTX_INVALID_ARGUMENT('ctx.run', 'a requestId of 1 to 128 visible ASCII characters')
}

function finish (scope: Scope): void {
  scope.work = undefined
  const lifetime = lifetimeAround(scope)
  if (lifetime?.defer(scope) === true) return
  releaseLimits(scope)
  if (scope.parent === undefined) publishEnd(scope)
  const ended = runOnEnd(scope)
  const afterTasks = scope.lazyState?.afterTasks
  if (ended === undefined) {
    scope.settle()
    return startAfterTasks(afterTasks)
  }
  // The callbacks may read values of the request, so it does not end before they are done.
  lifetime?.hold()
  ended.then(() => {
    scope.settle()
    lifetime?.release()
    startAfterTasks(afterTasks)
  })
}

/** The scope of another context that stays current around a new scope. */
function outerOf (definition: ContextDefinition, parent: Scope | undefined): Scope | undefined {
  // The parent is current, except in `request.ctx.run`.
  if (parent !== undefined && parent.store === currentStore()) return parent.enclosing
  let around = currentScope()
  if (parent !== undefined && scopeOf(definition, around) !== parent) return parent.enclosing
  while (around?.definition === definition) around = around.enclosing
  return around
}
