import { EventEmitter } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import type { Store } from '../scope.ts'
import { bound, currentStore, enter } from '../storage.ts'
import { lifeOfRaw, type RequestLife } from './end.ts'

type Emit = EventEmitter['emit']

/** Makes what an emitter emits reach its listeners in one scope, whatever code it is called by. */
export function emitInScope (emitter: EventEmitter, store: Store): void {
  emitter.emit = emitting(emitter.emit, store)
}

/** The same for the signal of a route's `handlerTimeout`, whose timer is older than the scope. */
export function dispatchInScope (signal: AbortSignal, store: Store): void {
  signal.dispatchEvent = bound(store, signal.dispatchEvent)
}

function emitting (emit: Emit, store: Store): Emit {
  return function emitInScope (this: EventEmitter) {
    // Passed on as they are: an emitter is heard often, and an array for each event would be felt.
    const args = arguments as unknown as Parameters<Emit>
    return currentStore() === store ? emit.apply(this, args) : enter(store, emitNow, this, emit, args)
  }
}

function emitNow (emitter: EventEmitter, emit: Emit, args: Parameters<Emit>): boolean {
  return emit.apply(emitter, args)
}

/**
 * The same for Node's two objects for a request, whose life is told when they close. Their life must be set: one function
 * serves the requests of all.
 */
export function emitRawInScope (request: EventEmitter, reply: EventEmitter): void {
  // An APM may have given them an `emit` of its own, which is kept.
  request.emit = request.emit === plainEmit ? emitOfRequest : emittingRaw(request.emit, requestClosed)
  reply.emit = reply.emit === plainEmit ? emitOfReply : emittingRaw(reply.emit, replyClosed)
}

const plainEmit = EventEmitter.prototype.emit
const emitOfRequest = emittingRaw(plainEmit, requestClosed)
const emitOfReply = emittingRaw(plainEmit, replyClosed)

function emittingRaw (emit: Emit, closed: (life: RequestLife, raw: any) => void): Emit {
  // Rest parameters that are only applied cost nothing, hence a function of its own for those that are kept.
  function emitFromOutside (this: EventEmitter, ...args: Parameters<Emit>): boolean {
    return enter(lifeOfRaw(this)!.scope.store, emitNow, this, emit, args)
  }
  return function emitInScope (this: EventEmitter, ...args) {
    const event = args[0]
    const life = lifeOfRaw(this)!
    if (event === 'finish') life.answered = true
    let heard = false
    // What nobody listens to, as most, goes nowhere; but an error must reach Node, and an `emit` of somebody else what it waits for.
    if (this.listenerCount(event) > 0 || event === 'error' || emit !== plainEmit) {
      heard = currentStore() === life.scope.store ? emit.apply(this, args) : emitFromOutside.apply(this, args)
    }
    if (event === 'close') closed(life, this)
    return heard
  }
}

/** A request closes when its body is read, too: only an aborted one is over. */
function requestClosed (life: RequestLife, raw: IncomingMessage | Http2ServerRequest): void {
  if (raw.aborted) life.close(false)
}

/** The connection of an answer closes once: after all of it was sent, or before. */
function replyClosed (life: RequestLife, raw: ServerResponse | Http2ServerResponse): void {
  // HTTP/2 finishes what was reset, too: it tells no more than whether the answer was complete. Its responses have a stream;
  // to import the class of the others from node:http would load undici, too.
  life.close('stream' in raw ? raw.writableEnded : life.answered)
}
