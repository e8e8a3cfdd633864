import { Access } from './context-base.ts'
import { kCurrentStore, kRequireScope, kDefinition, kCurrentScope } from '../common/symbols.ts'
import { copyOf, addOnEnd, startDetached } from '../lifecycle/detached.ts'
import { Cache, Memos } from '../scope/cache.ts'
import { deadlineOf, signalOf } from '../lifecycle/cancellation.ts'
import { FST_CTX_INVALID_ARGUMENT } from '../common/errors.ts'
import { ownOptions } from '../common/own-options.ts'
import { explainKey, policyOf, type Explanation, type PolicyRow } from './explain.ts'
import { inFlightOf, type InFlight, type InFlightOptions } from './in-flight.ts'
import { openScope, runIn } from '../lifecycle/run.ts'
import { scopeOfStore, type Scope } from '../scope/scope.ts'
import { impersonationOf } from '../scope/lookup.ts'
import type { ImpersonatedValues, KeyOf, ValueOf } from '../types.ts'

/** Why somebody acts as somebody else. */
export interface ImpersonateOptions {
  /** For the audit: log lines within carry it as `reason`. */
  readonly reason: string
}

/** How `ctx.memo` tells calls apart. */
export interface MemoOptions<F extends (...args: any[]) => unknown> {
  /** One value for a call's arguments. Default: each argument by value if it is a primitive, by identity if it is an object. */
  readonly keyOf?: (...args: Parameters<F>) => unknown
}

/** The calls for work within a scope, beside reading and writing it. */
export abstract class Work<V> extends Access<V> {
  /**
   * Calls `fn` as somebody else: like `run`, but locked keys may be shadowed, `actor` tells the real values, and log lines
   * carry `actor` and `reason`. What `fn` does, however it ends, leaves the scope around it as it was.
   *
   * @throws FST_CTX_NO_SCOPE there is nobody to act for
   * @throws FST_CTX_INVALID_ARGUMENT no reason is given, or no function
   * @example
   * await ctx.impersonate({ user: customer }, { reason: 'ticket 4711' }, () => showInvoices())
   */
  impersonate<R> (values: ImpersonatedValues<V>, options: ImpersonateOptions, fn: () => R): R {
    const scope = this[kRequireScope]('ctx.impersonate')
    const reason = ownOptions(options as ImpersonateOptions | undefined)?.reason
    if (typeof reason !== 'string' || reason === '') throw new FST_CTX_INVALID_ARGUMENT('ctx.impersonate', '{ reason } second, a string that is not empty')
    if (typeof fn !== 'function') throw new FST_CTX_INVALID_ARGUMENT('ctx.impersonate', 'a function to call third, after the reason')
    const inner = openScope(this[kDefinition], scope, values, 'ctx.impersonate')
    const actors = new Map(impersonationOf(scope)?.actors)
    for (const name of Object.keys(values)) if (!actors.has(name)) actors.set(name, scope.store[name])
    inner.state().impersonation = { actors, reason }
    return runIn(inner, fn, undefined)
  }

  /** The real value of a key: what it is outside every impersonation of it. `undefined` where it is not set. Never throws. */
  actor<K extends KeyOf<V>> (key: K): ValueOf<V, K> | undefined {
    const scope = this[kCurrentScope]()
    if (scope === undefined) return undefined
    const actors = impersonationOf(scope)?.actors
    return (actors?.has(key) === true ? actors.get(key) : scope.store[key]) as ValueOf<V, K> | undefined
  }

  /**
   * What this scope keeps until it ends: `get`, `set`, `has`, `delete`, `getOrSet(key, factory)`. A nested scope has one of
   * its own.
   *
   * @throws FST_CTX_NO_SCOPE no scope is open here
   * @throws FST_CTX_ENDED the scope has ended
   */
  get cache (): Cache {
    const state = this[kRequireScope]('ctx.cache').state()
    state.cache ??= new Cache()
    return state.cache
  }

  /**
   * A function that calls `fn` once for the same arguments in one scope: calls in flight are shared, a rejection is not
   * kept, `null` and `undefined` are values. What was computed is forgotten when a value of the scope is set anew, and a
   * nested scope computes for itself: nobody gets the result of another user. Outside a scope it calls `fn` each time.
   *
   * @example
   * const loadUser = ctx.memo(async (id: string) => db.users.find(id))
   */
  memo<F extends (this: any, ...args: any[]) => unknown> (fn: F, options: MemoOptions<F> = {}): F {
    const { keyOf } = ownOptions(options)
    if (typeof fn !== 'function') throw new FST_CTX_INVALID_ARGUMENT('ctx.memo', 'a function to call once for the same arguments')
    // The innermost scope: that of another context within ours has other values, too.
    const here = (): Scope | undefined => this[kCurrentScope]()?.root.ended === false ? scopeOfStore(this[kCurrentStore]()) : undefined
    function memoized (this: unknown, ...args: any[]): unknown {
      const scope = here()
      if (scope === undefined) return fn.apply(this, args)
      const steps = keyOf === undefined ? args : [keyOf(...args as Parameters<F>)]
      return memosOf(scope).getOrCall([memoized, this, ...steps], () => fn.apply(this, args))
    }
    // Same parameters, same result: it only remembers.
    return memoized as F
  }

  /**
   * Puts `fn` off to the end of this scope: of a request, when its answer is out or its client gone; of a `run`, when its
   * function is done. It runs in the scope, the last given first, each whatever becomes of the others; what it throws is
   * logged. The end of the request around it waits for it, and so does `app.close()`.
   *
   * @throws FST_CTX_NO_SCOPE no scope is open here
   * @throws FST_CTX_ENDED the scope is over
   */
  onEnd (fn: () => unknown): void {
    if (typeof fn !== 'function') throw new FST_CTX_INVALID_ARGUMENT('ctx.onEnd', 'a function to call at the end')
    addOnEnd(this[kRequireScope]('ctx.onEnd'), this[kCurrentStore]()!, fn)
  }

  /**
   * Starts work that outlives the answer, now, in a copy of this scope that does not end with it. What it throws is logged,
   * never unhandled. `app.close()` waits for it, up to the option `closeTimeout`.
   */
  detach (fn: () => unknown): void {
    if (typeof fn !== 'function') throw new FST_CTX_INVALID_ARGUMENT('ctx.detach', 'a function that starts the work, not its promise')
    const scope = this[kCurrentScope]()
    startDetached(scope?.registration ?? this[kDefinition].registration, this.#copy(), fn)
  }

  /** Like `detach`, but the work starts once this scope is over: for a request, when the answer is out. */
  after (fn: () => unknown): void {
    if (typeof fn !== 'function') throw new FST_CTX_INVALID_ARGUMENT('ctx.after', 'a function that starts the work, not its promise')
    const scope = this[kCurrentScope]()
    const copy = this.#copy()
    const start = (): void => { startDetached(scope?.registration ?? this[kDefinition].registration, copy, fn) }
    if (scope === undefined || scope.root.done) start()
    else (scope.root.state().afterTasks ??= []).push(start)
  }

  /**
   * The signal that cuts the work of this scope short: the client is gone before its answer, the route's `handlerTimeout` or
   * a `timeout` or `deadline` of `run` has passed, or a `signal` given to `run` was aborted. Outside a scope: one that never is.
   *
   * @example
   * await fetch(url, { signal: ctx.signal })
   */
  get signal (): AbortSignal {
    const scope = this[kCurrentScope]()
    return scope === undefined ? new AbortController().signal : signalOf(scope)
  }

  /** The milliseconds that are left for the work of this scope, 0 or more; `undefined` where nothing limits it. */
  get deadline (): number | undefined {
    const at = deadlineOf(this[kCurrentScope]())
    return at === Infinity ? undefined : Math.max(0, at - Date.now())
  }

  /** Why a key has its value here, or none: for people. It never holds a value. */
  explain (key: KeyOf<V>): Explanation {
    return explainKey(key, this[kCurrentScope]())
  }

  /** The keys, where each comes from and where it may go: for a review, or a snapshot test. */
  policy (): readonly PolicyRow[] {
    return policyOf(this[kDefinition])
  }

  /** What is open now in this context, with the fields of its log lines, and what was counted. The first call begins the counting. */
  inFlight (options?: InFlightOptions): InFlight {
    return inFlightOf(this[kDefinition], options)
  }

  #copy (): Scope | undefined {
    const around = scopeOfStore(this[kCurrentStore]())
    return around === undefined ? undefined : copyOf(around)
  }
}

/** The results that hold for what a scope sees now. */
function memosOf (scope: Scope): Memos {
  const state = scope.state()
  const { memoized } = state
  if (memoized !== undefined && isCurrent(memoized.state, scope)) return memoized.memos
  const memos = new Memos()
  state.memoized = { memos, state: stateOf(scope) }
  return memos
}

/** The values that a scope sees, of all contexts, and how often they were written: one that is set and set back is another. */
function stateOf (innermost: Scope): unknown[] {
  const state: unknown[] = []
  for (let scope: Scope | undefined = innermost; scope !== undefined; scope = scope.enclosing) {
    state.push(scope.version)
    // `requestContext.set` writes to the store, and is not counted.
    for (const name in scope.store) state.push(scope.store[name])
  }
  return state
}

/** Whether a scope sees what it saw when its state was taken. */
function isCurrent (state: readonly unknown[], innermost: Scope): boolean {
  let i = 0
  for (let scope: Scope | undefined = innermost; scope !== undefined; scope = scope.enclosing) {
    scope.refresh()
    if (state[i++] !== scope.version) return false
    for (const name in scope.store) if (!Object.is(state[i++], scope.store[name])) return false
  }
  return i === state.length
}
