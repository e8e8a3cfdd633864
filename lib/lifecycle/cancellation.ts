import { FST_CTX_CLIENT_GONE, FST_CTX_DEADLINE, FST_CTX_INVALID_ARGUMENT } from '../common/errors.ts'
import type { Cancellation } from '../scope/scope-state.ts'
import type { Scope } from '../scope/scope.ts'
import { enter } from '../scope/storage.ts'
import { isOfRequest } from '../scope/lookup.ts'

/** The longest timeout of a Node.js timer, in milliseconds. */
export const MAX_TIMEOUT = 2 ** 31 - 1

/** The limits of a `ctx.run`, in addition to those of the scope around it. */
export interface Limits {
  /** Aborts the work after this many milliseconds. */
  readonly timeout?: number
  /** Aborts the work at this time: a Date, or milliseconds since the epoch. */
  readonly deadline?: Date | number
  /** Aborts the work when this signal is aborted. */
  readonly signal?: AbortSignal
}

/**
 * Refuses limits of the wrong type.
 *
 * @throws FST_CTX_INVALID_ARGUMENT
 */
export function checkLimits ({ timeout, deadline, signal }: Limits): void {
  if (timeout !== undefined && !(typeof timeout === 'number' && timeout >= 0)) throw new FST_CTX_INVALID_ARGUMENT('ctx.run', 'a timeout of 0 or more milliseconds')
  if (deadline !== undefined && Number.isNaN(Number(deadline))) throw new FST_CTX_INVALID_ARGUMENT('ctx.run', 'a deadline that is a Date or milliseconds since the epoch')
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw new FST_CTX_INVALID_ARGUMENT('ctx.run', 'a signal that is an AbortSignal')
}

/** Gives a scope its own limits, which never exceed those around it. */
export function limit (scope: Scope, { timeout, deadline, signal }: Limits): void {
  if (timeout === undefined && deadline === undefined && signal === undefined) return
  const own = Math.min(Date.now() + (timeout ?? Infinity), Number(deadline ?? Infinity))
  const cancellation = cancelAt(scope, Math.min(own, deadlineOf(scope.parent)))
  if (signal !== undefined) follow(signal, scope, cancellation)
}

/** The deadline of a scope. `Infinity` if nothing limits it. */
export function deadlineOf (scope: Scope | undefined): number {
  return holderOf(scope)?.lazyState?.cancellation?.deadline ?? Infinity
}

/** Whether the work of a scope has to stop: the client left, the time limit passed, or a signal given to it was aborted. */
export function isAborted (scope: Scope): boolean {
  const holder = holderOf(scope)!
  return holder.lazyState?.cancellation?.controller?.signal.aborted === true || deadlineOf(scope) <= Date.now() || (isOfRequest(scope.root) && scope.root.lifetime!.aborted)
}

/** Sets the deadline of a scope. The timer starts when the signal is first read. */
export function cancelAt (scope: Scope, deadline: number): Cancellation<Scope> {
  const cancellation = { deadline, controller: undefined, followers: undefined, release: undefined }
  scope.state().cancellation = cancellation
  return cancellation
}

/** The signal that aborts the work of a scope. */
export function signalOf (scope: Scope): AbortSignal {
  const holder = holderOf(scope)!
  const missing: Scope[] = []
  for (let from: Scope | undefined = holder; from !== undefined && from.lazyState?.cancellation?.controller === undefined; from = holderOf(from.parent)) missing.push(from)
  // The outermost comes first, because each follows the one around it.
  for (const from of missing.reverse()) makeController(from)
  return holder.lazyState!.cancellation!.controller!.signal
}

/** Aborts the signal of a request whose client has left, if it was read. */
export function abortGone (scope: Scope): void {
  abort(scope, () => named(new FST_CTX_CLIENT_GONE(), 'AbortError'))
}

/** Aborts the signal of a scope whose time limit has passed, if it was read. */
export function abortLate (scope: Scope): void {
  abort(scope, () => named(new FST_CTX_DEADLINE(), 'TimeoutError'))
}

/**
 * Waits for work, but not longer than the limits of its scope allow.
 *
 * @throws the reason of the scope's signal, when that is aborted first
 */
export async function untilAborted (scope: Scope, work: Promise<void>): Promise<void> {
  if (deadlineOf(scope) === Infinity) return await work
  const signal = signalOf(scope)
  await new Promise<void>((resolve, reject) => {
    // In a later turn, so that work which takes no time succeeds even if no time is left.
    const stop = (): void => { setImmediate(reject, signal.reason) }
    work.then(resolve, reject).then(() => { signal.removeEventListener('abort', stop) })
    if (signal.aborted) stop()
    else signal.addEventListener('abort', stop, { once: true })
  })
}

/** Releases the timer and the signals of a scope's own limits. Its followers then follow the scope around it. */
export function releaseLimits (scope: Scope): void {
  const cancellation = scope.lazyState?.cancellation
  if (cancellation === undefined) return
  cancellation.release?.()
  cancellation.release = undefined
  const around = holderOf(scope.parent)
  if (around === undefined) return
  for (const follower of cancellation.followers ?? []) followScope(around, follower)
  cancellation.followers = undefined
}

/** The nearest scope with its own limits, or the root, which the client limits. */
function holderOf (scope: Scope | undefined): Scope | undefined {
  while (scope?.parent !== undefined && scope.lazyState?.cancellation === undefined) scope = scope.parent
  return scope
}

function makeController (scope: Scope): void {
  const cancellation = scope.lazyState?.cancellation ?? cancelAt(scope, Infinity)
  cancellation.controller = new AbortController()
  const around = holderOf(scope.parent)
  if (around !== undefined) followScope(around, scope)
  else if (isOfRequest(scope) && scope.lifetime!.aborted) abortGone(scope)
  const left = cancellation.deadline - Date.now()
  if (left <= 0) abortLate(scope)
  // A timer with a longer timeout would fire at once, and no work takes that long.
  else if (left <= MAX_TIMEOUT) {
    const timer = setTimeout(abortLate, left, scope)
    timer.unref()
    releaseToo(cancellation, () => { clearTimeout(timer) })
  }
}

/** Aborts a scope's signal and those that follow it. The listeners of each signal run in its scope. Without a signal, no reason is created. */
function abort (scope: Scope, makeReason: () => unknown): void {
  if (scope.lazyState?.cancellation?.controller === undefined) return
  const reason = makeReason()
  const scopes = new Set([scope])
  for (const each of scopes) {
    const { controller, followers } = each.lazyState!.cancellation!
    enter(each.store, () => { controller!.abort(reason) })
    for (const follower of followers ?? []) scopes.add(follower)
  }
}

/** Aborts the signal of a scope when the signal of a scope around it is aborted. Both have a signal. */
function followScope (around: Scope, scope: Scope): void {
  const signal = signalOf(around)
  if (signal.aborted) return abort(scope, () => signal.reason)
  const { followers = new Set<Scope>() } = around.lazyState!.cancellation!
  around.lazyState!.cancellation!.followers = followers.add(scope)
  releaseToo(scope.lazyState!.cancellation!, () => { followers.delete(scope) })
}

function follow (signal: AbortSignal, scope: Scope, cancellation: Cancellation<Scope>): void {
  signalOf(scope)
  const abortToo = (): void => { abort(scope, () => signal.reason) }
  if (signal.aborted) return abortToo()
  releaseToo(cancellation, whenAborted(signal, abortToo))
}

interface Callbacks { readonly all: Set<() => void>, readonly listener: () => void }

/** One listener per signal that `run` gets, because Node.js warns about more than ten. */
const callbacks = new WeakMap<AbortSignal, Callbacks>()

/** Calls `fn` when a signal is aborted. Returns a function that cancels this. */
function whenAborted (signal: AbortSignal, fn: () => void): () => void {
  const { all, listener } = callbacks.get(signal) ?? listenTo(signal)
  all.add(fn)
  return () => {
    all.delete(fn)
    if (all.size > 0) return
    signal.removeEventListener('abort', listener)
    callbacks.delete(signal)
  }
}

function listenTo (signal: AbortSignal): Callbacks {
  const all = new Set<() => void>()
  const listener = (): void => { for (const fn of all) fn() }
  signal.addEventListener('abort', listener, { once: true })
  const made = { all, listener }
  callbacks.set(signal, made)
  return made
}

function releaseToo (cancellation: Cancellation<Scope>, release: () => void): void {
  const before = cancellation.release
  cancellation.release = () => {
    before?.()
    release()
  }
}

/** Gives an error the name that users of `fetch` and of timers know. */
function named (error: Error, name: string): Error {
  return Object.defineProperty(error, 'name', { value: name })
}
