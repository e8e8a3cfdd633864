import { FST_CTX_CLIENT_GONE, FST_CTX_DEADLINE, FST_CTX_INVALID_ARGUMENT } from './errors.ts'
import type { Cancellation } from './extras.ts'
import type { Scope } from './scope.ts'

/** What may cut the work of `ctx.run` short, besides what cuts that of the scope around it. */
export interface Limits {
  /** After how many milliseconds. */
  readonly timeout?: number
  /** At which time: a Date, or milliseconds since the epoch. */
  readonly deadline?: Date | number
  /** When this signal is aborted. */
  readonly signal?: AbortSignal
}

/**
 * Gives a scope limits of its own. They are never wider than those around it.
 *
 * @throws FST_CTX_INVALID_ARGUMENT
 */
export function limit (scope: Scope, { timeout, deadline, signal }: Limits): void {
  if (timeout === undefined && deadline === undefined && signal === undefined) return
  if (timeout !== undefined && !(timeout >= 0)) throw new FST_CTX_INVALID_ARGUMENT('ctx.run', 'a timeout of 0 or more milliseconds')
  if (deadline !== undefined && Number.isNaN(Number(deadline))) throw new FST_CTX_INVALID_ARGUMENT('ctx.run', 'a deadline that is a Date or milliseconds since the epoch')
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw new FST_CTX_INVALID_ARGUMENT('ctx.run', 'a signal that is an AbortSignal')
  const own = Math.min(Date.now() + (timeout ?? Infinity), Number(deadline ?? Infinity))
  const cancellation = cancelAt(scope, Math.min(own, deadlineOf(scope.parent)))
  if (signal !== undefined) follow(controllerOf(scope, cancellation), cancellation, signal)
}

/** The time at which a scope's work is to be done; `Infinity` where nothing limits it. */
export function deadlineOf (scope: Scope | undefined): number {
  return holderOf(scope)?.extras?.cancellation?.deadline ?? Infinity
}

/** Sets the time at which a scope's work is to be done. The timer starts when somebody asks for the signal. */
export function cancelAt (scope: Scope, deadline: number): Cancellation {
  const cancellation = { deadline, controller: undefined, release: undefined }
  scope.use().cancellation = cancellation
  return cancellation
}

/** The signal that cuts the work of a scope short. */
export function signalOf (scope: Scope): AbortSignal {
  const holder = holderOf(scope)!
  return controllerOf(holder, holder.extras?.cancellation ?? cancelAt(holder, Infinity)).signal
}

/** The client of a request is gone: the signal of its root is aborted, if anybody asked for it. */
export function abortGone (scope: Scope): void {
  scope.extras?.cancellation?.controller?.abort(clientGone())
}

/** The time of a scope is over: its signal is aborted, if anybody asked for it. */
export function abortLate (scope: Scope): void {
  scope.extras?.cancellation?.controller?.abort(named(new FST_CTX_DEADLINE(), 'TimeoutError'))
}

/** Lets go of the timer and the signals that a scope's own limits hold. */
export function releaseLimits (scope: Scope): void {
  scope.extras?.cancellation?.release?.()
}

/** The nearest scope that has limits of its own, or the root, whose limit is the client. */
function holderOf (scope: Scope | undefined): Scope | undefined {
  while (scope?.parent !== undefined && scope.extras?.cancellation === undefined) scope = scope.parent
  return scope
}

function controllerOf (scope: Scope, cancellation: Cancellation): AbortController {
  if (cancellation.controller !== undefined) return cancellation.controller
  const controller = new AbortController()
  cancellation.controller = controller
  if (scope.parent !== undefined) follow(controller, cancellation, signalOf(scope.parent))
  else if (scope.life?.lost === true) controller.abort(clientGone())
  if (cancellation.deadline !== Infinity) {
    // Past 2^31 milliseconds a timer would fire at once.
    const timer = setTimeout(abortLate, Math.min(cancellation.deadline - Date.now(), 2 ** 31 - 1), scope)
    timer.unref()
    releaseToo(cancellation, () => { clearTimeout(timer) })
  }
  return controller
}

function follow (controller: AbortController, cancellation: Cancellation, signal: AbortSignal): void {
  const abort = (): void => { controller.abort(signal.reason) }
  if (signal.aborted) return abort()
  signal.addEventListener('abort', abort, { once: true })
  releaseToo(cancellation, () => { signal.removeEventListener('abort', abort) })
}

function releaseToo (cancellation: Cancellation, release: () => void): void {
  const before = cancellation.release
  cancellation.release = () => {
    before?.()
    release()
  }
}

function clientGone (): Error {
  return named(new FST_CTX_CLIENT_GONE(), 'AbortError')
}

/** The name that callers of `fetch` and the timers know. */
function named (error: Error, name: string): Error {
  return Object.defineProperty(error, 'name', { value: name })
}
