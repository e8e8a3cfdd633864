import { MAX_TIMEOUT } from './cancellation.ts'
import { endings } from './end-queue.ts'
import { FST_CTX_ENDED } from '../common/errors.ts'
import type { Impersonation } from '../scope/scope-state.ts'
import { Scope, scopeOfStore, type Pending, type Registration, type Store } from '../scope/scope.ts'
import { enter } from '../scope/storage.ts'
import { now } from '../scope/tally.ts'
import { contains, impersonationOf, lifetimeAround, messageIdOf } from '../scope/lookup.ts'
import { describe, warn } from '../common/warnings.ts'

/** The name of pending callbacks of `ctx.onEnd`. */
export const ON_END = 'ctx.onEnd'

/**
 * Runs `fn` when a scope ends, in the given store, which may be a scope of another context within it.
 *
 * @throws FST_CTX_ENDED the scope has ended
 */
export function addOnEnd (scope: Scope, store: Store, fn: () => unknown): void {
  if (scope.done && !isDeferred(scope)) throw new FST_CTX_ENDED('ctx.onEnd')
  const state = scope.state()
  state.onEndCallbacks ??= []
  state.onEndCallbacks.push(async () => {
    try {
      await enter(store, fn)
    } catch (error) {
      reportFailure(scopeOfStore(store), error, 'a callback of ctx.onEnd failed')
    }
  })
}

/** Whether the request continues in this scope, although the function of its run has returned or the client has left. */
function isDeferred (scope: Scope): boolean {
  const lifetime = lifetimeAround(scope)
  return lifetime !== undefined && (scope.parent !== undefined || lifetime.aborted) && lifetime.defer(scope)
}

/** Runs the `onEnd` callbacks of a scope one after the other, the last one first. One that fails does not stop the others. */
export function runOnEnd (scope: Scope): Promise<void> | undefined {
  scope.done = true
  const { lazyState: state } = scope
  const callbacks = state?.onEndCallbacks
  if (state === undefined || callbacks === undefined) return undefined
  state.onEndCallbacks = undefined
  const promise = endInTurn(callbacks)
  waitFor(scope.registration, { promise, scope, what: ON_END, since: now() })
  return promise
}

async function endInTurn (callbacks: Array<() => Promise<void>>): Promise<void> {
  for (let end = callbacks.pop(); end !== undefined; end = callbacks.pop()) await end()
}

/** Starts the `after` work of a scope that has ended. */
export function startAfterTasks (afterTasks: Array<() => void> | undefined): void {
  for (const start of afterTasks ?? []) start()
}

/** Starts work that outlives its scope, in a copy of it. The application waits for it before it closes. Its errors are logged. */
export function startDetached (registration: Registration, copy: Scope | undefined, fn: () => unknown): void {
  const since = now()
  const promise = detached(copy, fn)
  waitFor(registration, { promise, scope: copy, what: fn.name || 'an anonymous function', since })
}

async function detached (copy: Scope | undefined, fn: () => unknown): Promise<void> {
  try {
    await enter(copy?.store, fn)
  } catch (error) {
    reportFailure(copy, error, 'detached work failed')
  }
  if (copy === undefined || copy.root.ended) return
  for (let scope: Scope | undefined = copy; scope !== undefined; scope = scope.enclosing) {
    await runOnEnd(scope)
    startAfterTasks(scope.lazyState?.afterTasks)
  }
}

/**
 * Copies a scope with its current values, and those of other contexts around it, without the keys that have `detach: false`.
 * The copy is a root and does not end with the original. An ended scope has no values, so it is returned itself and warns about late reads.
 */
export function copyOf (scope: Scope): Scope {
  scope.refresh()
  if (scope.root.ended) return scope
  const enclosing = scope.enclosing === undefined ? undefined : copyOf(scope.enclosing)
  const copy = new Scope(scope.definition, scope.registration, undefined, enclosing, scope.root.lifetime)
  const { undetached } = scope.registration.policy
  // A store has no inherited names: its prototype is empty.
  for (const name in scope.store) if (!undetached.has(name)) copy.write(name, scope.store[name])
  copy.log = scope.root.log
  copy.trace = scope.root.trace
  copy.route = scope.root.route
  Object.assign(copy.state(), { madeBy: 'detach', impersonation: detachable(impersonationOf(scope), undetached), messageId: messageIdOf(scope) })
  return copy
}

/** An impersonation without the real values of the keys that a copy leaves out. */
function detachable (impersonation: Impersonation | undefined, undetached: ReadonlySet<string>): Impersonation | undefined {
  if (impersonation === undefined || undetached.size === 0) return impersonation
  return { ...impersonation, actors: new Map([...impersonation.actors].filter(([name]) => !undetached.has(name))) }
}

function waitFor (registration: Registration, pending: Pending): void {
  registration.pending.add(pending)
  pending.promise.then(() => { registration.pending.delete(pending) })
}

/** The work that the application waits for when it closes. It does not wait for work that closes it, which itself waits for the close. */
function pendingOthers ({ pending }: Registration, closer: Scope | undefined): Pending[] {
  return [...pending].filter(({ scope }) => scope === undefined || !contains(scope, closer))
}

/**
 * Waits for pending work, until a time in milliseconds since the epoch. If nothing is pending, it takes no turn of the event
 * loop, because on Node 20 and 22 an HTTP/2 session that is closed a turn later may keep the process alive.
 *
 * @param closer the scope in which the application is closed, if its own work closes it
 */
export async function drain (registration: Registration, until: number, closer: Scope | undefined): Promise<void> {
  for (let others = nextPending(registration, closer); others.length > 0 && Date.now() < until; others = nextPending(registration, closer)) {
    let timer: NodeJS.Timeout | undefined
    const timeout = new Promise<void>((resolve) => { timer = setTimeout(resolve, Math.min(until - Date.now(), MAX_TIMEOUT)) })
    await Promise.race([timeout, Promise.all(others.map(({ promise }) => promise))])
    clearTimeout(timer)
  }
}

/** Ends the requests of this application that are done, which starts their `onEnd` callbacks and `after` work, and returns what is pending. */
function nextPending (registration: Registration, closer: Scope | undefined): Pending[] {
  endings.drain(({ scope }) => isOpenedFor(registration, scope))
  return pendingOthers(registration, closer)
}

/** Whether a scope of a request, or one around it, was opened in this application. */
function isOpenedFor (registration: Registration, scope: Scope | undefined): boolean {
  while (scope !== undefined && scope.registration !== registration) scope = scope.enclosing
  return scope !== undefined
}

/** Logs the work that is still pending when the application closes. */
export function logAbandoned (registration: Registration, closer: Scope | undefined): void {
  for (const { scope, what } of pendingOthers(registration, closer)) {
    const log = scope?.root.log ?? registration.log
    try {
      enter(scope?.store, () => { log?.warn({ work: what }, ABANDONED) })
    } catch (error) {
      warn('FST_CTX_BACKGROUND', `${ABANDONED} (${what}), and its logger threw: fix the logger, or what it serializes`, describe(error))
    }
  }
}

const ABANDONED = 'work was abandoned because the application closes'

/** Logs a failure that nobody awaits. It never throws, because the remaining steps at the end of a scope must run. */
function reportFailure (scope: Scope | undefined, error: unknown, message: string): void {
  const log = scope?.root.log ?? scope?.registration.log
  try {
    if (log !== undefined) enter(scope?.store, () => { log.error({ err: error }, message) })
    // Fastify's logger for `logger: false` has no level and writes nothing.
    if (log === undefined || !('level' in log)) warn('FST_CTX_BACKGROUND', `${message}, and there is no logger: handle the error there, or give the application a logger`, describe(error))
  } catch (failure) {
    warn('FST_CTX_BACKGROUND', `${message}, and its logger threw: fix the logger, or what it serializes`, `${describe(error)}\n${describe(failure)}`)
  }
}
