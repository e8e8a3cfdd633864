import { EventEmitter } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import type { Store } from '../scope/scope.ts'
import { bound, currentStore, enter } from '../scope/storage.ts'
import { lifeOfRaw, type RequestLife } from '../lifecycle/request-lifetime.ts'

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
export function emitRawInScope (request: IncomingMessage | Http2ServerRequest, reply: ServerResponse | Http2ServerResponse): void {
  // An APM may have given them an `emit` of its own, which is kept.
  request.emit = request.emit === plainEmit ? emitOfRequest : emittingRaw(request.emit, requestClosed)
  const replyClosed = request.httpVersionMajor === 2 ? closedHttp2 : closedHttp1
  if (reply.emit !== plainEmit) reply.emit = emittingRaw(reply.emit, replyClosed)
  else reply.emit = replyClosed === closedHttp1 ? emitOfReply : emitOfHttp2Reply
}

const plainEmit = EventEmitter.prototype.emit
const emitOfHttp2Reply = emittingRaw(plainEmit, closedHttp2)

/**
 * What nobody listens to, as most, goes nowhere; but an error must reach Node. This and the next do
 * the same, in two: a function that sees objects of one kind only is much faster than one that sees both.
 */
function emitOfRequest (this: EventEmitter, ...args: Parameters<Emit>): boolean {
  const event = args[0]
  let heard = false
  if (this.listenerCount(event) > 0 || event === 'error') {
    heard = currentStore() === lifeOfRaw(this)!.scope.store ? plainEmit.apply(this, args) : emitFromOutside(this, plainEmit, args)
  }
  if (event === 'close') requestClosed(lifeOfRaw(this)!, this as IncomingMessage)
  return heard
}

function emitOfReply (this: EventEmitter, ...args: Parameters<Emit>): boolean {
  const event = args[0]
  if (event === 'finish') lifeOfRaw(this)!.answered = true
  let heard = false
  if (this.listenerCount(event) > 0 || event === 'error') {
    heard = currentStore() === lifeOfRaw(this)!.scope.store ? plainEmit.apply(this, args) : emitFromOutside(this, plainEmit, args)
  }
  if (event === 'close') closedHttp1(lifeOfRaw(this)!)
  return heard
}

/** An `emit` of somebody else waits for what nobody listens to, too. */
function emittingRaw (emit: Emit, closed: (life: RequestLife, raw: any) => void): Emit {
  return function emitInScope (this: EventEmitter, ...args) {
    const life = lifeOfRaw(this)!
    if (args[0] === 'finish') life.answered = true
    const heard = currentStore() === life.scope.store ? emit.apply(this, args) : emitFromOutside(this, emit, args)
    if (args[0] === 'close') closed(life, this)
    return heard
  }
}

function emitFromOutside (raw: EventEmitter, emit: Emit, args: Parameters<Emit>): boolean {
  return enter(lifeOfRaw(raw)!.scope.store, emitNow, raw, emit, args)
}

/** A request closes when its body is read, too: only an aborted one is over. */
function requestClosed (life: RequestLife, raw: IncomingMessage | Http2ServerRequest): void {
  if (raw.aborted) life.close(false)
}

/** The connection of an answer closes once: after all of it was sent, or before. */
function closedHttp1 (life: RequestLife): void {
  life.close(life.answered)
}

/** HTTP/2 finishes what was reset, too: it tells no more than whether the answer was complete. */
function closedHttp2 (life: RequestLife, raw: Http2ServerResponse): void {
  life.close(raw.writableEnded)
}
