import type { FastifyRequest } from 'fastify'
import { showAs } from '../common/inspection.ts'
import { runAfters, runEnds } from './detached.ts'
import { abortGone, releaseLimits } from './cancellation.ts'
import { tellEnded } from '../scope/diagnostics-channel.ts'
import { keepLine } from '../logging/fields.ts'
import { warnOpen } from '../scope/misuse-warnings.ts'
import type { Life, Scope } from '../scope/scope.ts'

const kLife = Symbol('fastify-ctx.life')

/** What carries the life of a request: both of Node's objects for it. */
export interface Raw { [kLife]?: RequestLife }

/**
 * One request, from the opening of its first scope until its scopes end: once, in the turn after whichever comes first of
 * - the connection of its answer closed, which Node tells after a complete answer as well as after a lost client;
 * - its request was aborted, where Node tells of no answer (the second of two pipelined requests, on Node 20);
 * but never before the last hooks (onResponse, onRequestAbort, onTimeout), and the onEnd callbacks of runs within it, that
 * have begun are done; and then its own onEnd callbacks. Private members are as those of a scope are.
 */
export class RequestLife implements Life {
  /** The innermost scope of the request itself; there is one from the moment the life is set on Node's objects. */
  scope!: Scope
  phase = 'onRequest'
  /** Whether all of the answer was handed to the system. */
  answered = false
  lost = false
  private holds = 0
  private closed = false
  private ended = false

  /** One of the last hooks begins, or the callbacks of an end. */
  hold (): void {
    this.holds++
  }

  /** One of the last hooks is done, and the next, if there is one, has begun; or all callbacks of an end are. */
  release (): void {
    this.holds--
    this.endIfDone()
  }

  /** The connection of the answer closed: after all of it was sent, or before. */
  close (complete: boolean): void {
    if (!complete && !this.lost && !this.closed) {
      this.lost = true
      for (const scope of this.scopes()) abortGone(scope)
    }
    // What Node tells in this same turn, and whoever awaits it, still finds the values.
    if (closed.push(this) === 1) setImmediate(endClosed)
  }

  /** The turn in which the connection closed is over. */
  over (): void {
    this.closed = true
    this.endIfDone()
  }

  private endIfDone (): void {
    if (!this.closed || this.holds > 0 || this.ended) return
    // Most requests put nothing off to their end, and are over at once.
    const { extras, outer } = this.scope
    if (outer === undefined && (extras === undefined || (extras.ends ?? extras.afters ?? extras.cancellation) === undefined)) {
      this.ended = true
      this.scope.end(last)
    } else this.endInTurn()
  }

  /** Its own callbacks first, which may begin what it waits for as for them. */
  private endInTurn (): void {
    const scopes = this.scopes()
    const pending = scopes.map((scope) => runEnds(scope)).filter((promise) => promise !== undefined)
    for (const promise of pending) {
      this.hold()
      promise.then(() => { this.release() })
    }
    if (pending.length > 0) return
    this.ended = true
    const afters = scopes.flatMap((scope) => scope.extras?.afters ?? [])
    for (const scope of scopes) {
      releaseLimits(scope)
      scope.end(last)
    }
    runAfters(afters)
  }

  /** The request's own scopes: one for each context that covers it, the innermost first. */
  private scopes (): Scope[] {
    const scopes: Scope[] = []
    for (let scope: Scope | undefined = this.scope; scope?.life === this; scope = scope.outer) scopes.push(scope)
    return scopes
  }
}

showAs(RequestLife.prototype, ({ phase, lost }) => `RequestLife { phase: ${phase}, lost: ${lost} }`)

/** What is done for each scope of a request while its values are still there. */
function last (scope: Scope): void {
  if (scope.parent === undefined) tellEnded(scope)
  else if (!scope.done && scope.registration.settings.diagnostics) warnOpen(scope)
  keepLine(scope)
}

/** The requests whose connection closed in this turn. */
let closed: RequestLife[] = []

function endClosed (): void {
  const lives = closed
  closed = []
  for (const life of lives) life.over()
}

/** The life of a request, if a scope was opened for it. */
export function lifeOf (request: FastifyRequest): RequestLife | undefined {
  return (request.raw as Raw)[kLife]
}

/** The life that one of Node's two objects for a request carries. */
export function lifeOfRaw (raw: object): RequestLife | undefined {
  return (raw as Raw)[kLife]
}

/** Gives one of Node's two objects for a request its life. */
export function setLife (raw: object, life: RequestLife): void {
  (raw as Raw)[kLife] = life
}
