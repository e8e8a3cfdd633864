import type { FastifyReply } from 'fastify'
import type { Readable } from 'node:stream'
import { showAs } from '../common/inspection.ts'
import { startAfterTasks, runOnEnd } from './detached.ts'
import { abortGone, releaseLimits } from './cancellation.ts'
import { endings } from './end-queue.ts'
import { publishEnd } from '../scope/diagnostics-channel.ts'
import { keepLine } from '../logging/fields.ts'
import { contains } from '../scope/lookup.ts'
import { noteOpen } from '../scope/misuse-warnings.ts'
import { scopeOfStore, type Lifetime, type Scope, type Store } from '../scope/scope.ts'

/**
 * A request from the opening of its first scope to its end. It ends once, in the turn after all of these are true:
 * - the answer is complete, or the connection is gone;
 * - every hook and handler that began has settled, and so have the onEnd callbacks of runs within it;
 * - each stream that was sent has closed, and so has its websocket.
 *
 * After a complete answer the values are dropped, because an idle keep-alive socket would keep them. After a lost
 * connection they stay for the code that still runs. Private members are private for the compiler only, like those of a scope.
 */
export class RequestLifetime implements Lifetime {
  scope!: Scope
  current!: Store
  innermost!: Scope
  phase = 'onRequest'
  aborted = false
  /** Whether the whole response was passed to the operating system. */
  answered = false
  /** Whether Fastify answered for a handler that exceeded its time limit and may still run. */
  timedOut = false
  /** Whether the request re-enters its scope by replaced functions of Fastify and Node.js. */
  reenters = false
  /** Whether its hooks and handlers are wrapped, so that its end waits for them. Otherwise its values stay after the end. */
  watched = true
  /** The `request.ctx`, once it was read, and its context. */
  accessor: { readonly definition: object, readonly access: object } | undefined = undefined
  /** The reply, until the request ends. It says whether it was sent or hijacked. */
  private reply: FastifyReply | undefined
  private pendingHolds = 0
  /** Callback hooks before the handler that have neither called `done` nor answered. */
  private openHooks = 0
  /** Streams that were sent and have not closed. */
  private streams: Set<Readable> | undefined = undefined
  /** Runs whose function has returned, but in which the request continues. */
  private deferred: Set<Scope> | undefined = undefined
  private closed = false
  private queued = false
  private ended = false

  constructor (reply: FastifyReply) {
    this.reply = reply
  }

  /** Opens the first scope of the request, or the scope of another context within it. */
  open (scope: Scope): void {
    this.scope = scope
    this.continueIn(scope.store)
  }

  continueIn (store: Store): void {
    this.current = store
    const scope = scopeOfStore(store)
    if (scope !== undefined) this.innermost = scope
  }

  defer (scope: Scope): boolean {
    if ((this.ended && !this.aborted) || !contains(scope, this.innermost)) return false
    this.deferred ??= new Set()
    this.deferred.add(scope)
    return true
  }

  hold (): void {
    this.pendingHolds++
  }

  release (): void {
    this.pendingHolds--
    this.endLater()
  }

  /** Notes that a callback hook begins. It settles when it calls `done`, answers, or hijacks the reply. */
  openHook (): void {
    this.openHooks++
  }

  closeHook (): void {
    this.openHooks--
    this.endLater()
  }

  /** Notes that a stream is sent. The request lasts until the stream has closed. */
  holdStream (stream: Readable): void {
    (this.streams ??= new Set()).add(stream)
  }

  closeStream (stream: Readable): void {
    if (this.streams?.delete(stream) === true) this.endLater()
  }

  /** Notes that the response is complete, or that the connection was lost before. */
  close (complete: boolean): void {
    if (this.closed) return
    this.closed = true
    if (!complete) {
      this.aborted = true
      for (const scope of this.scopes()) abortGone(scope)
    }
    this.endLater()
  }

  /** Checks in the next turn whether the request can end. */
  endLater (): void {
    if (!this.closed || this.queued) return
    this.queued = true
    endings.add(this)
  }

  tryToEnd (): void {
    this.queued = false
    if (this.pendingHolds > 0 || this.hasOpenHook() || this.hasOpenStream()) return
    const { lazyState: state, enclosing } = this.scope
    // Most requests have no onEnd callbacks and no after work.
    if (enclosing === undefined && this.deferred === undefined && (state?.onEndCallbacks ?? state?.afterTasks ?? state?.cancellation) === undefined) {
      if (this.ended) return
      this.ended = true
      this.reply = undefined
      if (this.keepsValues()) publishEnd(this.scope)
      else this.scope.end(last)
    } else this.end()
  }

  private hasOpenHook (): boolean {
    return this.openHooks > 0 && (this.timedOut || this.reply?.sent === false)
  }

  /** Whether a sent stream is open. Forgets streams that nobody reads by now: another payload has replaced them, and they never close. */
  private hasOpenStream (): boolean {
    if (this.streams === undefined) return false
    for (const stream of this.streams) {
      if (stream.destroyed !== true && stream.readableFlowing === null) this.streams.delete(stream)
    }
    return this.streams.size > 0
  }

  /** Whether values stay after the end, because nothing can tell when code that still runs is done. */
  private keepsValues (): boolean {
    return this.aborted || this.timedOut || !this.watched
  }

  /** Runs the request's own callbacks first. They may take time and start work that the end then waits for. */
  private end (): void {
    const scopes = this.scopes()
    const all = [...[...this.deferred ?? []].reverse(), ...scopes]
    const pending = all.map((scope) => runOnEnd(scope)).filter((promise) => promise !== undefined)
    for (const promise of pending) {
      this.hold()
      promise.then(() => { this.release() })
    }
    if (pending.length > 0) return
    for (const scope of this.deferred ?? []) if (scope.parent === undefined) publishEndOnce(scope)
    if (this.ended) return
    this.ended = true
    this.reply = undefined
    const afterTasks = all.flatMap((scope) => scope.lazyState?.afterTasks ?? [])
    for (const scope of all) releaseLimits(scope)
    for (const scope of scopes) {
      if (this.keepsValues()) publishEnd(scope)
      else scope.end(last)
    }
    startAfterTasks(afterTasks)
  }

  /** The request's own scopes, one per context, the innermost first. */
  private scopes (): Scope[] {
    const scopes: Scope[] = []
    for (let scope: Scope | undefined = this.scope; scope?.lifetime === this; scope = scope.enclosing) scopes.push(scope)
    return scopes
  }
}

showAs(RequestLifetime.prototype, ({ phase, aborted }) => `RequestLifetime { phase: ${phase}, aborted: ${aborted} }`)

const published = new WeakSet<Scope>()

/** Publishes the end of a run of another context in which the request continued. Such a run may be a root. */
function publishEndOnce (scope: Scope): void {
  if (!published.has(scope)) publishEnd(scope)
  published.add(scope)
}

/** Called for each scope of a request while its values are still there. */
function last (scope: Scope): void {
  if (scope.parent === undefined) publishEnd(scope)
  else if (!scope.done) noteOpen(scope)
  keepLine(scope)
}
