import type { EventEmitter } from 'node:events'
import { bindListeners } from '../scope/bind-emitter.ts'
import { iterableInStore, type BoundIterable } from '../scope/bind-iterable.ts'
import { kCurrentStore, kDefinition, kEntryPoints } from '../common/symbols.ts'
import type { EntryPoint } from '../common/warnings.ts'
import type { ContextDefinition } from '../lifecycle/context-definition.ts'
import { finishing, type RunOptions } from '../lifecycle/run.ts'
import { processStorage } from '../scope/storage.ts'
import type { Interceptor } from '../propagation/undici-interceptor.ts'
import type { Cache } from '../scope/cache.ts'
import type { Logger } from '../scope/line.ts'
import { scopeOf } from '../scope/lookup.ts'
import { scopeOfStore, type Store } from '../scope/scope.ts'
import type { Trace } from '../tracing/trace-context.ts'
import { bindFunction, callOutside, snapshotOf } from './bound.ts'
import type { ContextApi } from './context-api.ts'
import { callAtEnd, startAfter, startNow } from './deferred.ts'
import { dehydrate, headersTo, hydrate, traceIn, type DehydrateOptions, type HydrateOptions } from './envelopes.ts'
import { explainKey, policyOf, type Explanation, type PolicyRow } from './explain.ts'
import { fieldsIn } from './fields.ts'
import { inFlightOf, type InFlight, type InFlightOptions } from './in-flight.ts'
import { signalIn, timeLeft } from './limits.ts'
import { loggerIn, mixinOf } from './loggers.ts'
import { cacheIn, memoize, type MemoOptions } from './memo.ts'
import { actorOf, impersonate, openNested, type ImpersonateOptions, type ImpersonateRestOptions } from './nested.ts'
import { entriesIn, hasValue, isMistake, messageIdIn, scopeIn, setValue, throwUnset, warnMistake } from './values.ts'
import type { Entry, ImpersonatedValues, KeyOf, ValueOf, Values, WritableKeyOf } from '../types.ts'

/** Implements each call of `ContextApi` by one call of a function. Its subclasses choose the store that the calls act on. */
export abstract class ContextBase<V> implements ContextApi<V> {
  /** The context whose calls these are. */
  protected abstract readonly [kDefinition]: ContextDefinition

  abstract readonly root: ContextApi<V>

  /** The store these calls act on. */
  protected abstract [kCurrentStore] (): Store | undefined

  /** The functions through which a read of a key may have come here, the outermost last. A warning names the line that called it. */
  protected [kEntryPoints] (_key: string): EntryPoint[] { return [ContextBase.prototype.get] }

  /** Reads a key in as few steps as possible. The innermost scope is usually one of this context. */
  #read (key: string): unknown {
    const store = this[kCurrentStore]()
    const scope = scopeOfStore(store)
    if (scope === undefined || scope.definition !== this[kDefinition]) return scopeOf(this[kDefinition], scope)?.store[key]
    if (scope.unlinked) scope.refresh()
    return store![key]
  }

  /** Called after a read that returned `undefined`, which may be a mistake. */
  #warn (key: string): void {
    if (isMistake(this[kDefinition], this[kCurrentStore](), key)) warnMistake(this[kDefinition], this[kCurrentStore](), key, this[kEntryPoints](key))
  }

  get<K extends KeyOf<V>> (key: K): ValueOf<V, K> | undefined {
    const value = this.#read(key)
    if (value === undefined) this.#warn(key)
    return value as ValueOf<V, K> | undefined
  }

  require<K extends KeyOf<V>> (key: K): ValueOf<V, K> {
    const value = this.#read(key)
    if (value === undefined) throwUnset(this[kDefinition], this[kCurrentStore](), key)
    return value as ValueOf<V, K>
  }

  has (key: KeyOf<V>): boolean { return hasValue(this[kDefinition], this[kCurrentStore](), key) }

  entries (): Array<Entry<V>> { return entriesIn(this[kDefinition], this[kCurrentStore]()) as Array<Entry<V>> }

  set<K extends WritableKeyOf<V>> (key: K, value: ValueOf<V, K> | undefined): void { setValue(this[kDefinition], this[kCurrentStore](), key, value) }

  // Each function between this one and `fn` lets the stack overflow at fewer nested runs.
  run<R> (values: Values<V>, fn: () => R, options?: RunOptions): R {
    const scope = openNested(this[kDefinition], this[kCurrentStore](), values, fn, options)
    return processStorage.run(scope.store, finishing, scope, fn) as R
  }

  impersonate (values: ImpersonatedValues<V>, options: ImpersonateRestOptions): void
  impersonate<R> (values: ImpersonatedValues<V>, options: ImpersonateOptions, fn: () => R): R
  impersonate (values: ImpersonatedValues<V>, options: ImpersonateOptions | ImpersonateRestOptions, fn?: () => unknown): unknown { return impersonate(this[kDefinition], this[kCurrentStore](), values, options, fn) }

  actor<K extends KeyOf<V>> (key: K): ValueOf<V, K> | undefined { return actorOf(this[kDefinition], this[kCurrentStore](), key) as ValueOf<V, K> | undefined }

  bind<F extends (this: any, ...args: any[]) => unknown> (fn: F): F { return bindFunction(this[kCurrentStore](), fn) }

  snapshot (): <A extends unknown[], R>(fn: (...args: A) => R, ...args: A) => R { return snapshotOf(this[kCurrentStore]()) }

  exit<R> (fn: () => R): R { return callOutside(fn) }

  bindEmitter<E extends EventEmitter> (emitter: E): E { return bindListeners(emitter) }

  bindIterable<I extends Iterable<unknown> | AsyncIterable<unknown>> (iterable: I): BoundIterable<I> { return iterableInStore(this[kCurrentStore](), iterable) }

  get cache (): Cache { return cacheIn(this[kDefinition], this[kCurrentStore]()) }

  memo<F extends (this: any, ...args: any[]) => unknown> (fn: F, options: MemoOptions<F> = {}): F { return memoize(this[kDefinition], () => this[kCurrentStore](), fn, options) }

  onEnd (fn: () => unknown): void { callAtEnd(this[kDefinition], this[kCurrentStore](), fn) }

  detach (fn: () => unknown): void { startNow(this[kDefinition], this[kCurrentStore](), fn) }

  after (fn: () => unknown): void { startAfter(this[kDefinition], this[kCurrentStore](), fn) }

  get messageId (): string | undefined { return messageIdIn(this[kDefinition], this[kCurrentStore]()) }

  get signal (): AbortSignal { return signalIn(this[kDefinition], this[kCurrentStore]()) }

  get deadline (): number | undefined { return timeLeft(scopeIn(this[kDefinition], this[kCurrentStore]())) }

  fields (): Record<string, unknown> { return fieldsIn(this[kDefinition], this[kCurrentStore]()) }

  get log (): Logger { return loggerIn(this[kDefinition], this[kCurrentStore]()) }

  get mixin (): (object?: object, level?: number, logger?: object) => Record<string, unknown> { return mixinOf(this[kDefinition], () => this[kCurrentStore]()) }

  dehydrate (options: DehydrateOptions = {}): string { return dehydrate(this[kDefinition], this[kCurrentStore](), options) }

  hydrate<R> (envelope: unknown, fn: () => R, options: HydrateOptions = {}): Promise<Awaited<R>> { return hydrate(this[kDefinition], envelope, fn, options) }

  headersFor (url: string | URL): Record<string, string> { return headersTo(this[kDefinition], this[kCurrentStore](), url) }

  get interceptor (): Interceptor { return this[kDefinition].interceptor }

  get trace (): Trace | undefined { return traceIn(this[kDefinition], this[kCurrentStore]()) }

  explain (key: KeyOf<V>): Explanation { return explainKey(key, scopeIn(this[kDefinition], this[kCurrentStore]())) }

  policy (): readonly PolicyRow[] { return policyOf(this[kDefinition]) }

  inFlight (options?: InFlightOptions): InFlight { return inFlightOf(this[kDefinition], options) }
}
