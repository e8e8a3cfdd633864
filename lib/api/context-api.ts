import type { EventEmitter } from 'node:events'
import type { Interceptor } from '../propagation/undici-interceptor.ts'
import type { RunOptions } from '../lifecycle/run.ts'
import type { BoundIterable } from '../scope/bind-iterable.ts'
import type { Cache } from '../scope/cache.ts'
import type { Logger } from '../scope/line.ts'
import type { Trace } from '../tracing/trace-context.ts'
import type { Entry, ImpersonatedValues, KeyOf, ValueOf, Values, WritableKeyOf } from '../types.ts'
import type { DehydrateOptions, HydrateOptions } from './envelopes.ts'
import type { Explanation, PolicyRow } from './explain.ts'
import type { InFlight, InFlightOptions } from './in-flight.ts'
import type { MemoOptions } from './memo.ts'
import type { ImpersonateOptions, ImpersonateRestOptions } from './nested.ts'

/** The calls that `ctx` and `request.ctx` share. They differ in the scope they act on: the current one, or one of that request. */
export interface ContextApi<V> {
  /**
   * Returns the value of a key in the current scope. Never throws.
   *
   * @returns `undefined` if the key is not set, if no scope is open, or if the scope has ended (in development with a
   * warning, once for each key and route)
   * @example
   * const tenant = ctx.get('tenant')
   */
  get<K extends KeyOf<V>> (key: K): ValueOf<V, K> | undefined

  /**
   * Returns the value of a key that must be set.
   *
   * @throws FST_CTX_NO_SCOPE no scope is open here
   * @throws FST_CTX_ENDED the scope has ended
   * @throws FST_CTX_NOT_SET the key was never set in this scope
   * @throws FST_CTX_UNKNOWN_KEY the context has no such key
   * @example
   * const tenant = ctx.require('tenant') // string, not string | undefined
   */
  require<K extends KeyOf<V>> (key: K): ValueOf<V, K>

  /** Returns whether a key has a value in the current scope. Never throws, never warns. */
  has (key: KeyOf<V>): boolean

  /**
   * Returns the keys that have a value in the current scope, each with its value, the request id among them. Nothing is filtered:
   * to show them, use `fields`. Empty where no scope is open. Never throws.
   *
   * @example
   * const values = Object.fromEntries(ctx.entries())
   */
  entries (): Array<Entry<V>>

  /**
   * Sets a key for the rest of the current scope. In a hook or a handler that is the whole request; within a `run`, the
   * innermost one. If parallel branches must not see each other's value, use `run`.
   *
   * @throws FST_CTX_NO_SCOPE no scope is open here
   * @throws FST_CTX_ENDED the scope has ended
   * @throws FST_CTX_UNKNOWN_KEY the context has no such key
   * @throws FST_CTX_REQUEST_ID_FIXED the key is `requestId`
   * @throws FST_CTX_LOCKED the key is locked, and set
   */
  set<K extends WritableKeyOf<V>> (key: K, value: ValueOf<V, K> | undefined): void

  /**
   * Calls `fn` in a new scope below the current one. `fn` reads the values around it, also those that are set later, and
   * what it writes stays inside. If no scope is current, the new one is a root with its own request id, or with
   * `values.requestId`, so jobs, scripts and tests need no server.
   *
   * @param values what the scope starts with; a key set to `undefined` hides the outer value
   * @returns what `fn` returns: a value or a promise
   * @throws FST_CTX_UNKNOWN_KEY the context has no such key
   * @throws FST_CTX_REQUEST_ID_FIXED `requestId` is given, and the scope is not a root
   * @throws FST_CTX_LOCKED a key is locked, and already set around the scope
   * @param options.timeout after how many milliseconds `ctx.signal` is aborted; `deadline` and `signal` abort it, too
   * @example
   * await ctx.run({ tenant: 'acme' }, async () => { await nightlyReport() })
   */
  run<R> (values: Values<V>, fn: () => R, options?: RunOptions): R

  /**
   * Calls `fn` as somebody else. Like `run`, but locked keys may be shadowed, `actor` returns the real values, and log lines
   * carry `actor` and `reason`. The scope around it stays as it was, however `fn` ends. It does not check permissions. Your
   * code decides who may impersonate whom, here or in the option `onImpersonate`.
   *
   * @throws FST_CTX_NO_SCOPE no scope is open, so there is nobody to act for
   * @throws FST_CTX_INVALID_ARGUMENT the reason or the function is missing
   * @throws FST_CTX_IMPERSONATION_REFUSED the option `onImpersonate` refused it
   * @example
   * await ctx.impersonate({ user: customer }, { reason: 'ticket 4711' }, () => showInvoices())
   */
  impersonate<R> (values: ImpersonatedValues<V>, options: ImpersonateOptions, fn: () => R): R

  /**
   * Acts as somebody else for the rest of the request: the hooks after this one, the handler, the error handler, the streams and
   * the log lines, "request completed" among them. Call it in a hook before the handler. The rest of this hook itself still
   * runs in the scope as it was.
   *
   * @throws FST_CTX_NO_SCOPE no scope is open, so there is nobody to act for
   * @throws FST_CTX_INVALID_ARGUMENT the reason is missing
   * @throws FST_CTX_IMPERSONATION_REFUSED the option `onImpersonate` refused it
   * @throws FST_CTX_REST_REFUSED it could not hold: outside a request, in the handler, in a nested scope, with `reenter: false`
   * @example
   * app.addHook('preHandler', async (request) => {
   *   const customer = await customerFor(request)
   *   ctx.impersonate({ user: customer }, { reason: 'ticket 4711', rest: true })
   * })
   */
  impersonate (values: ImpersonatedValues<V>, options: ImpersonateRestOptions): void

  /** Returns the real value of a key, ignoring any impersonation, or `undefined` if it is not set. Never throws. */
  actor<K extends KeyOf<V>> (key: K): ValueOf<V, K> | undefined

  /**
   * The same calls for the whole unit of work: within a `run`, such as a transaction, they act on the scope of the request or job around
   * it. Within an impersonation they act on that: nothing that is done for a customer becomes the agent's.
   *
   * `root.cache` and `root.memo` share what they keep with the runs that see the same values, apart from keys with
   * `detach: false`. What they keep is computed in the outermost of these, which does not have the transaction of the `run`.
   *
   * @example
   * ctx.root.onEnd(() => { ctx.log.info('the request is over, not just the transaction') })
   */
  readonly root: ContextApi<V>

  /** Returns a function that runs `fn` in the current scope, for any caller and at any time. Costs nanoseconds. */
  bind<F extends (this: any, ...args: any[]) => unknown> (fn: F): F

  /** Returns a function that runs any function in the current scope: `const inScope = ctx.snapshot()`, later `inScope(fn, ...args)`. */
  snapshot (): <A extends unknown[], R>(fn: (...args: A) => R, ...args: A) => R

  /**
   * Calls `fn` outside every scope of all contexts, and returns its result. Use it for a shared resource that the first request
   * creates: a timer, a socket or a listener that `fn` starts keeps no scope. It is `exit` of AsyncLocalStorage.
   *
   * @example
   * const redis = () => client ??= ctx.exit(() => new Redis(url))
   */
  exit<R> (fn: () => R): R

  /**
   * Makes each listener that is added to an emitter from now on run in the scope in which it was added, for any source of the
   * event. For emitters that requests share, or that another request's work fires. Returns the emitter. It throws
   * FST_CTX_INVALID_ARGUMENT for anything but an EventEmitter of Node; bind such listeners one by one, with `bind`.
   */
  bindEmitter<E extends EventEmitter> (emitter: E): E

  /**
   * Returns an iterable, async iterable or generator with the items of the one given. Its code runs in the current scope,
   * for any consumer. Throws FST_CTX_INVALID_ARGUMENT for anything else.
   */
  bindIterable<I extends Iterable<unknown> | AsyncIterable<unknown>> (iterable: I): BoundIterable<I>

  /**
   * A cache that lasts until the current scope ends: `get`, `set`, `has`, `delete`, `getOrSet(key, factory)`. A nested scope
   * has its own.
   *
   * @throws FST_CTX_NO_SCOPE no scope is open here
   * @throws FST_CTX_ENDED the scope has ended
   */
  readonly cache: Cache

  /**
   * Returns a function that calls `fn` once for the same arguments in one scope. Calls in flight are shared, a rejection is
   * not kept, `null` and `undefined` are values. Results are forgotten when a value of the scope changes, and a nested scope
   * computes its own, so nobody gets the result of another user. Outside a scope it calls `fn` each time.
   *
   * @example
   * const loadUser = ctx.memo(async (id: string) => db.users.find(id))
   */
  memo<F extends (this: any, ...args: any[]) => unknown> (fn: F, options?: MemoOptions<F>): F

  /**
   * Runs `fn` when this scope ends: for a request, after the response is out or the client is gone; for a `run`, after its
   * function settles. It runs in the scope, the last callback first. One that fails does not stop the others; its error is
   * logged. The end of the surrounding request waits for it, and so does `app.close()`.
   *
   * @throws FST_CTX_NO_SCOPE no scope is open here
   * @throws FST_CTX_ENDED the scope has ended
   */
  onEnd (fn: () => unknown): void

  /**
   * Starts work that outlives the response, now, in a copy of this scope that does not end with it. Its errors are logged,
   * never unhandled. `app.close()` waits for it, up to the option `closeTimeout`.
   */
  detach (fn: () => unknown): void

  /** Like `detach`, but the work starts when this scope has ended: for a request, after the response is out. */
  after (fn: () => unknown): void

  /** The id of the message that is handled: what `run` was given as `messageId`, or the UUID that stands in for it. */
  readonly messageId: string | undefined

  /**
   * The signal that aborts the work of this scope: the client left before its response, the route's `handlerTimeout` or a
   * `timeout` or `deadline` of `run` passed, or a `signal` given to `run` was aborted. Outside a scope it is never aborted.
   *
   * @example
   * await fetch(url, { signal: ctx.signal })
   */
  readonly signal: AbortSignal

  /** The whole milliseconds that are left for the work of this scope, 0 or more. `undefined` if nothing limits it. */
  readonly deadline: number | undefined

  /**
   * Returns the fields that a log line carries here: the request id and the keys with `log`, as the logger of the application writes
   * them, with its serializers and its redaction. For error trackers and reports. Empty where no scope is open. Never throws.
   *
   * @example
   * Sentry.setContext('request', ctx.fields())
   */
  fields (): Record<string, unknown>

  /** The logger of the current request. Outside a request it is the application's; without one, a logger that writes nothing. */
  readonly log: Logger

  /**
   * For any pino logger that is not under `app.log`: its lines carry the fields of the scope they are written in.
   *
   * @example
   * const logger = pino({ mixin: ctx.mixin })
   */
  readonly mixin: (object?: object, level?: number, logger?: object) => Record<string, unknown>

  /**
   * Returns the current scope as text, for a job, a worker or a child process. It holds the request id, the values of the
   * keys with `carry`, the actor and the reason of an impersonation, the place in the trace, and the time that is left. It
   * is signed if `envelope.secrets` are given. Anyone who can read the text can read the values.
   *
   * @returns JSON of up to `envelope.maxBytes` bytes: a string to pass on unchanged
   * @throws FST_CTX_NO_SCOPE no scope is open here
   * @throws FST_CTX_ENDED the scope has ended
   * @throws FST_CTX_NOT_CARRIABLE JSON cannot hold a value
   * @throws FST_CTX_ENVELOPE_TOO_LARGE the envelope has too many bytes
   * @example
   * await queue.add('report', { month: '2026-11', context: ctx.dehydrate() })
   */
  dehydrate (options?: DehydrateOptions): string

  /**
   * Calls `fn` in the scope that an envelope holds: a new root. `hydrate` treats its input as untrusted. An invalid envelope
   * yields an empty scope and a warning; if `envelope.secrets` are given it is refused instead, and `fn` is not called.
   *
   * @param envelope what `dehydrate` returned, from any source
   * @param options.for what the envelope must have been made for
   * @returns what `fn` returns, or its rejection
   * @throws FST_CTX_ENVELOPE_REFUSED forged, made for another purpose, altered, too old, or not signed
   * @throws FST_CTX_UNPACK_FAILED the `unpack` of a key failed; see `cause`
   * @throws FST_CTX_DEADLINE the remaining time passed while values were unpacked
   * @example
   * new Worker('reports', (job) => ctx.hydrate(job.data.context, () => report(job.data.month)), { connection })
   */
  hydrate<R> (envelope: unknown, fn: () => R, options?: HydrateOptions): Promise<Awaited<R>>

  /**
   * Returns the headers that carry the current scope to the origin of a URL, for clients that do not use `fetch`: the request
   * id, the keys with `header`, the place in the trace. Returns none if `propagate` does not list the origin.
   *
   * @example
   * http.request(url, { headers: { ...ctx.headersFor(url), accept: 'text/csv' } })
   */
  headersFor (url: string | URL): Record<string, string>

  /**
   * For a dispatcher of undici that is not the global one: its requests carry the headers that those of `fetch` carry. Compose
   * it before `redirect` and `retry`, and after `cache`, `deduplicate` and `dns`.
   *
   * @example
   * const agent = new Agent().compose(ctx.interceptor)
   */
  readonly interceptor: Interceptor

  /** The current place in a distributed trace: OpenTelemetry's active span if there is one, else the `traceparent` header of the request. */
  readonly trace: Trace | undefined

  /** Explains why a key has its value here, or none: for people. The explanation never holds a value. */
  explain (key: KeyOf<V>): Explanation

  /** Lists the keys, where each comes from and where it may go: for a review, or a snapshot test. */
  policy (): readonly PolicyRow[]

  /** Lists what is open now in this context, with the fields of its log lines, and what was counted. The first call starts the counting. */
  inFlight (options?: InFlightOptions): InFlight
}
