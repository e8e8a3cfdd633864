import type { EventEmitter } from 'node:events'
import { bindListeners } from '../scope/bind-emitter.ts'
import { iterableInStore, type BoundIterable } from '../scope/bind-iterable.ts'
import { kEntryPoints, kCurrentStore, kRequireScope, kDefinition, kCurrentScope } from '../common/symbols.ts'
import type { EntryPoint } from '../common/warnings.ts'
import { FST_CTX_ENDED, FST_CTX_INVALID_ARGUMENT, FST_CTX_NO_SCOPE, FST_CTX_NOT_SET, FST_CTX_REQUEST_ID_FIXED } from '../common/errors.ts'
import { noteOrigin } from './explain.ts'
import type { Logger } from '../scope/line.ts'
import { errorOf, mixedIn } from '../logging/mixin.ts'
import { silentLogger } from '../logging/silent-logger.ts'
import { noteEarly, noteLate, warnCopied } from '../scope/misuse-warnings.ts'
import { wantFields } from '../logging/fields.ts'
import type { ContextDefinition } from '../lifecycle/context-definition.ts'
import { checkLock, checkRun, openScope, runIn, writeChecked, type RunOptions } from '../lifecycle/run.ts'
import { scopeOfFailure } from '../scope/failures.ts'
import { scopeOfStore, type Scope, type Store } from '../scope/scope.ts'
import { boundAlike, enter } from '../scope/storage.ts'
import { scopeOf } from '../scope/lookup.ts'
import type { KeyOf, ValueOf, Values, WritableKeyOf } from '../types.ts'

/** The calls that `ctx` and `request.ctx` share: they differ in the store they act on. */
export abstract class Access<V> {
  /** The context whose calls these are. */
  protected abstract readonly [kDefinition]: ContextDefinition

  /**
   * The scope that a call needs.
   *
   * @throws FST_CTX_NO_SCOPE
   * @throws FST_CTX_ENDED
   */
  protected [kRequireScope] (call: string): Scope {
    const scope = this[kCurrentScope]()
    if (scope === undefined) throw new FST_CTX_NO_SCOPE(call)
    if (scope.root.ended) throw new FST_CTX_ENDED(call)
    return scope
  }

  /** The store these calls act on. */
  protected abstract [kCurrentStore] (): Store | undefined

  /** The scope these calls act on. */
  protected [kCurrentScope] (key?: string): Scope | undefined {
    const scope = scopeOf(this[kDefinition], scopeOfStore(this[kCurrentStore]()))
    if (scope === undefined && this[kDefinition].registration.settings.diagnostics) warnCopied(key === undefined ? [] : this[kEntryPoints](key))
    return scope
  }

  /**
   * The value of a key in the current scope. Never throws.
   *
   * @returns `undefined` where the key is not set, no scope is open, or the scope has ended (in development with a
   * warning, once for each key and route)
   * @example
   * const tenant = ctx.get('tenant')
   */
  get<K extends KeyOf<V>> (key: K): ValueOf<V, K> | undefined {
    const value = this.#read(key)
    if (value === undefined) this.#warn(key)
    return value as ValueOf<V, K> | undefined
  }

  /** What most reads come down to, in as few steps as there are: the innermost scope is most often one of this context. */
  #read (key: string): unknown {
    const store = this[kCurrentStore]()
    const scope = scopeOfStore(store)
    if (scope === undefined || scope.definition !== this[kDefinition]) return scopeOf(this[kDefinition], scope)?.store[key]
    if (scope.unlinked) scope.refresh()
    return store![key]
  }

  /** A read gave nothing, which may be a mistake. */
  #warn (key: string): void {
    const scope = this[kCurrentScope](key)
    if (scope === undefined) {
      if (this[kDefinition].registration.settings.diagnostics) noteEarly(this[kDefinition], key, this[kEntryPoints](key))
    // A name that is no key, and was never set, is none that anybody misses: `await` reads `then`, `JSON.stringify` reads `toJSON`.
    } else if (scope.root.ended && (scope.registration.policy.names.has(key) || key in scope.store)) noteLate(key, scope, this[kEntryPoints](key))
  }

  /** The functions by which a read of a key may have come here, the outermost last: a warning names the line that called it. */
  protected [kEntryPoints] (_key: string): EntryPoint[] {
    return [Access.prototype.get]
  }

  /**
   * The value of a key that must be set.
   *
   * @throws FST_CTX_NO_SCOPE no scope is open here
   * @throws FST_CTX_ENDED the scope has ended
   * @throws FST_CTX_NOT_SET the key was never set in this scope
   * @throws FST_CTX_UNKNOWN_KEY the context has no such key
   * @example
   * const tenant = ctx.require('tenant') // string, not string | undefined
   */
  require<K extends KeyOf<V>> (key: K): ValueOf<V, K> {
    const value = this.#read(key)
    if (value !== undefined) return value as ValueOf<V, K>
    const scope = this[kCurrentScope]()
    if (scope === undefined) throw new FST_CTX_NO_SCOPE(key)
    if (scope.root.ended) throw new FST_CTX_ENDED(key)
    this[kDefinition].checkKey(key)
    throw new FST_CTX_NOT_SET(key)
  }

  /** Whether a key has a value in the current scope. Never throws, never warns. */
  has (key: KeyOf<V>): boolean {
    return this[kCurrentScope]()?.store[key] !== undefined
  }

  /**
   * Sets a key for the rest of the current scope: of the whole request in a hook or handler, of the innermost `run` in one.
   * Where parallel branches must not see each other's value, use `run`.
   *
   * @throws FST_CTX_NO_SCOPE no scope is open here
   * @throws FST_CTX_ENDED the scope has ended
   * @throws FST_CTX_UNKNOWN_KEY the context has no such key
   * @throws FST_CTX_REQUEST_ID_FIXED the key is `requestId`
   * @throws FST_CTX_LOCKED the key is locked, and set
   */
  set<K extends WritableKeyOf<V>> (key: K, value: ValueOf<V, K> | undefined): void {
    if (key === 'requestId') throw new FST_CTX_REQUEST_ID_FIXED()
    this[kDefinition].checkKey(key)
    const scope = this[kRequireScope](key)
    checkLock(key, scope)
    writeChecked(scope, key, value)
    noteOrigin(key, scope)
  }

  /**
   * Calls `fn` in a scope of its own, below the current one: it reads what that has, now and later, and what it writes
   * stays inside. Without a current scope it is a root with a request id of its own, or that of `values.requestId`: jobs,
   * scripts and tests need no server.
   *
   * @param values what the scope starts with; a key set to `undefined` hides the outer value
   * @returns what `fn` returns: a value or a promise
   * @throws FST_CTX_UNKNOWN_KEY the context has no such key
   * @throws FST_CTX_REQUEST_ID_FIXED `requestId` is given, and the scope is no root
   * @throws FST_CTX_LOCKED a key is locked, and set around it
   * @param options.timeout after how many milliseconds `ctx.signal` is aborted; so do `deadline` and `signal`
   * @example
   * await ctx.run({ tenant: 'acme' }, async () => { await nightlyReport() })
   */
  run<R> (values: Values<V>, fn: () => R, options?: RunOptions): R {
    const own = checkRun(fn, options)
    const parent = own?.inherit === false ? undefined : this[kCurrentScope]()
    return runIn(openScope(this[kDefinition], parent, values, 'ctx.run'), fn, own)
  }

  /** A function that runs `fn` in today's scope, whenever and by whomever it is called. Costs nanoseconds. */
  bind<F extends (this: any, ...args: any[]) => unknown> (fn: F): F {
    if (typeof fn !== 'function') throw new FST_CTX_INVALID_ARGUMENT('ctx.bind', 'a function')
    return boundAlike(this[kCurrentStore](), fn)
  }

  /** A function that runs any function in today's scope: `const inScope = ctx.snapshot()`, later `inScope(fn, ...args)`. */
  snapshot (): <A extends unknown[], R>(fn: (...args: A) => R, ...args: A) => R {
    const store = this[kCurrentStore]()
    return (fn, ...args) => {
      if (typeof fn !== 'function') throw new FST_CTX_INVALID_ARGUMENT('ctx.snapshot', 'no function, but what it returned takes one to call')
      return enter(store, fn, ...args)
    }
  }

  /**
   * Makes each listener added to an emitter from now on run in the scope it was added in, whatever emits the event. For
   * emitters that requests share, or that another request's work fires. Returns the emitter. Anything but an EventEmitter of
   * Node is FST_CTX_INVALID_ARGUMENT: bind its listeners one by one, with `bind`.
   */
  bindEmitter<E extends EventEmitter> (emitter: E): E {
    return bindListeners(emitter)
  }

  /**
   * An iterable, async iterable or generator of what another gives, whose code runs in the current scope, whoever iterates it.
   * Anything else is FST_CTX_INVALID_ARGUMENT.
   */
  bindIterable<I extends Iterable<unknown> | AsyncIterable<unknown>> (iterable: I): BoundIterable<I> {
    return iterableInStore(this[kCurrentStore](), iterable)
  }

  /** The logger of the current request; outside one, that of the application; without one, a logger that writes nothing. */
  get log (): Logger {
    return this[kCurrentScope]()?.root.log ?? this[kDefinition].registration.log ?? silentLogger
  }

  /**
   * For any pino logger that is not under `app.log`: its lines carry the fields of the scope they are written in.
   *
   * @example
   * const logger = pino({ mixin: ctx.mixin })
   */
  get mixin (): (object?: object, level?: number, logger?: object) => Record<string, unknown> {
    wantFields()
    return (object, _level, logger) => mixedIn(scopeOf(this[kDefinition], scopeOfFailure(errorOf(object), scopeOfStore(this[kCurrentStore]()))), object, logger)
  }
}
