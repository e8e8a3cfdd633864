import { MAX_TIMEOUT } from './cancellation.ts'
import { endings } from './end-queue.ts'
import { FST_CTX_ENDED } from '../common/errors.ts'
import type { Impersonation } from '../scope/scope-state.ts'
import { Scope, scopeOfStore, type Pending, type Registration, type Store } from '../scope/scope.ts'
import { enter } from '../scope/storage.ts'
import { now } from '../scope/tally.ts'
import { contains, impersonationOf, lifetimeAround, messageIdOf } from '../scope/lookup.ts'
import { describe, warn } from '../common/warnings.ts'

/** What pending callbacks of `ctx.onEnd` are called. */
export const ON_END = 'ctx.onEnd'

/**
 * Puts something off to the end of a scope. It runs in the store given: the scope of another context may be within.
 *
 * @throws FST_CTX_ENDED the scope is over already
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

/** The function of a run has returned, or the client of a request is gone, and the request goes on in this scope. */
function isDeferred (scope: Scope): boolean {
  const lifetime = lifetimeAround(scope)
  return lifetime !== undefined && (scope.parent !== undefined || lifetime.aborted) && lifetime.defer(scope)
}

/** Runs what was put off to the end of a scope: the last first, one after the other, each whatever became of the others. */
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

/** Starts what waited for the end of a scope. */
export function startAfterTasks (afterTasks: Array<() => void> | undefined): void {
  for (const start of afterTasks ?? []) start()
}

/** Starts work that outlives its scope, in a copy of it. The application waits for it before it closes; what it throws is logged. */
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
 * A scope with the values that another has now, and those of other contexts around it, but for keys with `detach: false`.
 * It is a root, and does not end with the other. An ended scope has none to copy: it is its own copy, which warns of late reads.
 */
export function copyOf (scope: Scope): Scope {
  scope.refresh()
  if (scope.root.ended) return scope
  const enclosing = scope.enclosing === undefined ? undefined : copyOf(scope.enclosing)
  const copy = new Scope(scope.definition, scope.registration, undefined, enclosing, scope.root.lifetime)
  const { undetached } = scope.registration.policy
  // With those that are inherited; stores have no other prototype.
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

/** What the application waits for when it closes. Work that closes it waits for the close, so it is not waited for. */
function pendingOthers ({ pending }: Registration, closer: Scope | undefined): Pending[] {
  return [...pending].filter(({ scope }) => scope === undefined || !contains(scope, closer))
}

/**
 * Waits for what is pending, until a time in milliseconds since the epoch. It takes no turn of the event loop where
 * nothing is: on Node 20 and 22 an HTTP/2 session that is closed a turn later may keep the process alive.
 *
 * @param closer the scope that the application is closed in, if it is closed from within work of its own
 */
export async function drain (registration: Registration, until: number, closer: Scope | undefined): Promise<void> {
  for (let others = nextPending(registration, closer); others.length > 0 && Date.now() < until; others = nextPending(registration, closer)) {
    let timer: NodeJS.Timeout | undefined
    const timeout = new Promise<void>((resolve) => { timer = setTimeout(resolve, Math.min(until - Date.now(), MAX_TIMEOUT)) })
    await Promise.race([timeout, Promise.all(others.map(({ promise }) => promise))])
    clearTimeout(timer)
  }
}

/** What is pending once the requests that are over have ended: that starts their `onEnd` callbacks and `after` work. */
function nextPending (registration: Registration, closer: Scope | undefined): Pending[] {
  endings.drain()
  return pendingOthers(registration, closer)
}

/** Logs what is still pending when the application closes. */
export function logAbandoned (registration: Registration, closer: Scope | undefined): void {
  for (const { scope, what } of pendingOthers(registration, closer)) {
    const log = scope?.root.log ?? registration.log
    try {
      enter(scope?.store, () => { log?.warn({ work: what }, ABANDONED) })
    } catch (error) {
      warn('FST_CTX_BACKGROUND', `${ABANDONED} (${what}), and its logger threw: mend the logger, or what it serializes`, describe(error))
    }
  }
}

const ABANDONED = 'work was cut off: the application closes'

/** Logs a failure that nobody awaits. It never throws: what comes next at the end of a scope must run. */
function reportFailure (scope: Scope | undefined, error: unknown, message: string): void {
  const log = scope?.root.log ?? scope?.registration.log
  try {
    if (log !== undefined) enter(scope?.store, () => { log.error({ err: error }, message) })
    // Fastify's logger for `logger: false` has no level, and writes nothing.
    if (log === undefined || !('level' in log)) warn('FST_CTX_BACKGROUND', `${message}, and there is no logger: handle the error there, or give the application a logger`, describe(error))
  } catch (failure) {
    warn('FST_CTX_BACKGROUND', `${message}, and its logger threw: mend the logger, or what it serializes`, `${describe(error)}\n${describe(failure)}`)
  }
}
