import type { EventEmitter } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import type { Store } from '../scope.ts'
import { bound, currentStore, enter } from '../storage.ts'
import { lifeOfRaw, type RequestLife } from './end.ts'

type Emit = EventEmitter['emit']
type Closed = (life: RequestLife, raw: any) => void

/** Makes what an emitter emits reach its listeners in one scope, whatever code it is called by. */
export function emitInScope (emitter: EventEmitter, store: Store): void {
  emitter.emit = emitting(emitter.emit, store)
}

/** The same for the signal of a route's `handlerTimeout`, whose timer is older than the scope. */
export function dispatchInScope (signal: AbortSignal, store: Store): void {
  signal.dispatchEvent = bound(store, signal.dispatchEvent)
}

function emitting (emit: Emit, store: Store): Emit {
  return function emitInScope (this: EventEmitter, event, ...args) {
    return enter(store, emitNow, this, emit, event, args)
  }
}

function emitNow (emitter: EventEmitter, emit: Emit, event: string | symbol, args: unknown[]): boolean {
  return emit.call(emitter, event, ...args)
}

/**
 * The same for Node's two objects for a request, whose life is told when they close. Their life must be set: one function
 * serves the requests of all.
 */
export function emitRawInScope (raw: EventEmitter, closed: Closed): void {
  // Most have the `emit` of their class; an APM's own one is kept.
  if (Object.hasOwn(raw, 'emit')) raw.emit = emittingRaw(raw.emit, closed)
  else raw.emit = closed === replyClosed ? emitOfReply : emitOfRequest
}

const emitOfRequest: Emit = emittingRaw(undefined, requestClosed)
const emitOfReply: Emit = emittingRaw(undefined, replyClosed)

function emittingRaw (own: Emit | undefined, closed: Closed): Emit {
  return function emitInScope (this: EventEmitter, event, ...args) {
    const emit = own ?? (Object.getPrototypeOf(this) as EventEmitter).emit
    const life = lifeOfRaw(this)!
    const { store } = life.scope
    // What nobody listens to needs no scope; an error must reach Node either way.
    const heard = currentStore() === store || this.listenerCount(event) === 0
      ? emit.call(this, event, ...args)
      : enter(store, emitNow, this, emit, event, args)
    if (event === 'close') closed(life, this)
    return heard
  }
}

/** A request closes when its body is read, too: only an aborted one is over. */
export function requestClosed (life: RequestLife, raw: IncomingMessage | Http2ServerRequest): void {
  if (raw.aborted) life.lose()
}

/** The connection of an answer closes once: after all of it was sent, or before. */
export function replyClosed (life: RequestLife, raw: ServerResponse | Http2ServerResponse): void {
  if ('writableFinished' in raw && raw.writableFinished) life.close()
  else life.lose()
}
