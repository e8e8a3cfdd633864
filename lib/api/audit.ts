import { channel } from 'node:diagnostics_channel'
import { FST_CTX_IMPERSONATION_REFUSED } from '../common/errors.ts'
import type { ImpersonateRequest } from '../config/options.ts'
import { addOnEnd } from '../lifecycle/detached.ts'
import type { Scope, Store } from '../scope/scope.ts'
import { enter } from '../scope/storage.ts'
import { writtenFields } from './fields.ts'

/**
 * What the channel `fastify-ctx:impersonate` of `node:diagnostics_channel` publishes. Subscribers run in the impersonation, so their
 * log lines carry its `actor` and `reason`. For a refused one they run in the scope of the caller.
 *
 * @example
 * diagnostics_channel.subscribe('fastify-ctx:impersonate', (message) => { audit.info(message) })
 */
export interface ImpersonateMessage extends ImpersonateRequest {
  /** `start`: it begins. `end`: its function has settled, or the request that goes on in it has ended. `refused`: it never began. */
  readonly phase: 'start' | 'end' | 'refused'
  /** An empty object, the same for the start and the end of one impersonation: a key for a WeakMap. */
  readonly impersonation: object
  /** How its function ended; `undefined` before the end. */
  readonly outcome: 'returned' | 'threw' | undefined
  /** What its function threw, or the error of a refused one. */
  readonly error: unknown
}

const impersonations = channel('fastify-ctx:impersonate')

/**
 * Asks `onImpersonate`, and publishes the start of an impersonation.
 *
 * @param scope the scope of the impersonation, with its values
 * @param around the store that is current for the caller
 * @returns what to call in the scope: `fn`, or a function that calls it and publishes the end
 * @throws FST_CTX_IMPERSONATION_REFUSED
 */
export function beginImpersonation<R> (scope: Scope, around: Store | undefined, keys: readonly string[], reason: string, fn: () => R): () => R {
  const { settings: { impersonateHooks }, idLabel } = scope.registration
  if (impersonateHooks.length === 0 && !impersonations.hasSubscribers) return fn
  const { [idLabel]: _requestId, actor = {}, reason: _reason, ...fields } = writtenFields(scope, 'own') as Record<string, unknown> & { actor?: ImpersonateRequest['actor'] }
  const request: ImpersonateRequest = { requestId: scope.store.requestId as string, route: scope.root.route, reason, keys, fields, actor }
  const message = { impersonation: Object.freeze({}), ...request }
  try {
    for (const hook of impersonateHooks) requireYes(() => enter(around, hook, request))
  } catch (error) {
    scope.settle()
    publish(around, { phase: 'refused', ...message, outcome: undefined, error })
    throw error
  }
  return impersonations.hasSubscribers ? watched(scope, message, fn) : fn
}

/** Anything but a clear yes is a no. A promise would settle too late. */
function requireYes (ask: () => unknown): void {
  let answer: unknown
  try {
    answer = ask()
  } catch (error) {
    throw Object.assign(new FST_CTX_IMPERSONATION_REFUSED('it threw, which is the cause'), { cause: error })
  }
  if (answer !== undefined && answer !== true) throw new FST_CTX_IMPERSONATION_REFUSED(answer === false ? 'it returned false' : `it returned a value of type ${typeof answer}, which is neither undefined nor true`)
}

function watched<R> (scope: Scope, message: Omit<ImpersonateMessage, 'phase' | 'outcome' | 'error'>, fn: () => R): () => R {
  let outcome: ImpersonateMessage['outcome']
  let error: unknown
  const returned = <T>(value: T): T => {
    outcome = 'returned'
    return value
  }
  const threw = (thrown: unknown): never => {
    outcome = 'threw'
    error = thrown
    throw thrown
  }
  const work = (): R => {
    let result: R
    try {
      result = fn()
    } catch (thrown) {
      return threw(thrown)
    }
    return result instanceof Promise ? result.then(returned, threw) as R : returned(result)
  }
  publish(scope.store, { phase: 'start', ...message, outcome, error })
  // The callbacks of a scope run last in, first out, so this one is the last. Where the request goes on in the scope, that is at its end.
  addOnEnd(scope, scope.store, () => { publish(scope.store, { phase: 'end', ...message, outcome, error }) })
  // ctx.inFlight() lists it by its name.
  return Object.defineProperty(work, 'name', { value: fn.name })
}

function publish (store: Store | undefined, message: ImpersonateMessage): void {
  if (impersonations.hasSubscribers) enter(store, () => { impersonations.publish(message) })
}
