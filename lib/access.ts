import { randomUUID } from 'node:crypto'
import type { EventEmitter } from 'node:events'
import pino from 'pino'
import { bindListeners } from './emitter.ts'
import { FST_CTX_ENDED, FST_CTX_INVALID_ARGUMENT, FST_CTX_NO_SCOPE, FST_CTX_NOT_SET, FST_CTX_REQUEST_ID_FIXED } from './errors.ts'
import type { Logger } from './line.ts'
import { mixedIn } from './logging.ts'
import { wantFields } from './fields.ts'
import type { Owner } from './owner.ts'
import { isSafeId } from './request-id.ts'
import { Scope, scopeOf, scopeOfStore, type Store } from './scope.ts'
import { bound, currentStore, enter } from './storage.ts'
import type { KeyOf, ValueOf, Values, WritableKeyOf } from './types.ts'
import { warnOnce } from './warnings.ts'

/** How `ctx.run` opens its scope. */
export interface RunOptions {
  /** `false`: nothing of the surrounding scope is seen, and the scope is a root with a request id of its own. Default `true`. */
  readonly inherit?: boolean
}

export const kHere: unique symbol = Symbol('fastify-ctx.here')

/** The calls that `ctx` and `request.ctx` share: they differ in the store they act on. */
export abstract class Access<V> {
  readonly #owner: Owner

  constructor (owner: Owner) {
    this.#owner = owner
  }

  /** The store these calls act on. A symbol, so that a key may have any name. */
  protected abstract [kHere] (): Store | undefined

  #scope (): Scope | undefined {
    return scopeOf(this.#owner, scopeOfStore(this[kHere]()))
  }

  /**
   * The value of a key in the current scope. Never throws.
   *
   * @returns `undefined` where the key is not set, no scope is open, or the scope has ended (with a warning, once for each
   * key and route)
   * @example
   * const tenant = ctx.get('tenant')
   */
  get<K extends KeyOf<V>> (key: K): ValueOf<V, K> | undefined {
    const scope = this.#scope()
    if (scope === undefined) return undefined
    const value = scope.store[key]
    if (value === undefined && scope.root.ended) warnLate(key, scope.root.route)
    return value as ValueOf<V, K> | undefined
  }

  /**
   * The value of a key that must be set.
   *
   * @throws FST_CTX_NO_SCOPE no scope is open here
   * @throws FST_CTX_ENDED the scope has ended
   * @throws FST_CTX_NOT_SET the key was never set in this scope
   * @example
   * const tenant = ctx.require('tenant') // string, not string | undefined
   */
  require<K extends KeyOf<V>> (key: K): ValueOf<V, K> {
    const scope = this.#scope()
    if (scope === undefined) throw new FST_CTX_NO_SCOPE(key)
    const value = scope.store[key]
    if (value !== undefined) return value as ValueOf<V, K>
    throw scope.root.ended ? new FST_CTX_ENDED(key) : new FST_CTX_NOT_SET(key)
  }

  /** Whether a key has a value in the current scope. Never throws, never warns. */
  has (key: KeyOf<V>): boolean {
    return this.#scope()?.store[key] !== undefined
  }

  /**
   * Sets a key for the rest of the current scope: of the whole request in a hook or handler, of the innermost `run` in one.
   * Where parallel branches must not see each other's value, use `run`.
   *
   * @throws FST_CTX_NO_SCOPE no scope is open here
   * @throws FST_CTX_ENDED the scope has ended
   * @throws FST_CTX_UNKNOWN_KEY the context has no such key
   * @throws FST_CTX_REQUEST_ID_FIXED the key is `requestId`
   */
  set<K extends WritableKeyOf<V>> (key: K, value: ValueOf<V, K> | undefined): void {
    this.#owner.checkKey(key)
    const scope = this.#scope()
    if (scope === undefined) throw new FST_CTX_NO_SCOPE(key)
    if (scope.ended) throw new FST_CTX_ENDED(key)
    scope.store[key] = value
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
   * @example
   * await ctx.run({ tenant: 'acme' }, async () => { await nightlyReport() })
   */
  run<R> (values: Values<V>, fn: () => R, options?: RunOptions): R {
    if (typeof values !== 'object' || values === null) throw new FST_CTX_INVALID_ARGUMENT('ctx.run', 'an object of values first')
    if (typeof fn !== 'function') throw new FST_CTX_INVALID_ARGUMENT('ctx.run', 'a function second')
    const parent = options?.inherit === false ? undefined : this.#scope()
    return enter(this.#open(parent, values as Readonly<Record<string, unknown>>).store, fn)
  }

  /** A function that runs `fn` in today's scope, whenever and by whomever it is called. Costs nanoseconds. */
  bind<F extends (this: any, ...args: any[]) => unknown> (fn: F): F {
    if (typeof fn !== 'function') throw new FST_CTX_INVALID_ARGUMENT('ctx.bind', 'a function')
    return bound(this[kHere](), fn)
  }

  /** A function that runs any function in today's scope: `const inScope = ctx.snapshot()`, later `inScope(fn, ...args)`. */
  snapshot (): <A extends unknown[], R>(fn: (...args: A) => R, ...args: A) => R {
    const store = this[kHere]()
    return (fn, ...args) => enter(store, fn, ...args)
  }

  /**
   * Makes each listener added to an emitter from now on run in the scope it was added in, whatever emits the event. For
   * emitters that requests share, or that another request's work fires. Returns the emitter.
   */
  bindEmitter<E extends EventEmitter> (emitter: E): E {
    if (typeof emitter?.on !== 'function' || typeof emitter.prependListener !== 'function') throw new FST_CTX_INVALID_ARGUMENT('ctx.bindEmitter', 'an EventEmitter')
    return bindListeners(emitter)
  }

  /** The logger of the current request; outside one, that of the application; without one, a silent logger. */
  get log (): Logger {
    return this.#scope()?.root.log ?? this.#owner.registration.log ?? (silent ??= pino({ enabled: false }))
  }

  /**
   * For any pino logger that is not under `app.log`: its lines carry the fields of the scope they are written in.
   *
   * @example
   * const logger = pino({ mixin: ctx.mixin })
   */
  get mixin (): (object?: object, level?: number, logger?: object) => Record<string, unknown> {
    wantFields()
    return (_object, _level, logger) => mixedIn(this.#scope(), logger)
  }

  /** Opens a scope below `parent`, or a root. */
  #open (parent: Scope | undefined, values: Readonly<Record<string, unknown>>): Scope {
    const around = scopeOfStore(currentStore())
    const scope = new Scope(this.#owner, parent?.registration ?? this.#owner.registration, parent, this.#outer(parent, around))
    if (parent === undefined) scope.store.requestId = randomUUID()
    for (const name of Object.keys(values)) {
      if (name === 'requestId') {
        if (parent !== undefined) throw new FST_CTX_REQUEST_ID_FIXED()
        if (!isSafeId(values.requestId)) throw new FST_CTX_INVALID_ARGUMENT('ctx.run', 'a requestId of 1 to 128 visible ASCII characters')
      } else this.#owner.checkKey(name)
      scope.store[name] = values[name]
    }
    return scope
  }

  /** The scope of another context that stays current around a new one. */
  #outer (parent: Scope | undefined, around: Scope | undefined): Scope | undefined {
    if (parent !== undefined && scopeOf(this.#owner, around) !== parent) return parent.outer
    while (around?.owner === this.#owner) around = around.outer
    return around
  }
}

let silent: Logger | undefined

function warnLate (key: string, route: string | undefined): void {
  const where = route === undefined ? '' : ` of ${route}`
  warnOnce('FST_CTX_LATE_READ', `${key} ${route}`, `'${key}' was read after the scope${where} had ended, and is undefined: read it before, or await the work that needs it`)
}
