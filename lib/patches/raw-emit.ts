import { EventEmitter } from 'node:events'
import type { IncomingMessage } from 'node:http'
import type { Http2ServerResponse } from 'node:http2'
import { lifetimeOfRaw, lifetimeOfResponse } from '../lifecycle/carrier.ts'
import { isWithinRequest } from '../lifecycle/reentry.ts'
import { currentStore, enter } from '../scope/storage.ts'
import { markReplacing } from './replace-method.ts'

export type Emit = EventEmitter['emit']

/** One of Node's objects for a request. */
export type Raw = EventEmitter

const { emit: plainEmit, listenerCount } = EventEmitter.prototype

/** Emits as a function of its own, so that a storage calls it without a closure. */
export function emitNow (emitter: EventEmitter, emit: Emit, args: Parameters<Emit>): boolean {
  return emit.apply(emitter, args)
}

/** Whether an event has listeners, so that emitting it does something. An error must reach Node, and an `emit` that another tool installed sees every event. */
function isHeard (raw: Raw, base: Raw, event: string | symbol): boolean {
  return event === 'error' || base.emit !== plainEmit || listenerCount.call(raw, event) > 0
}

/** The `emit` of a request's object, by the one that it replaces. The three functions do the same for different objects, because a function that sees objects of only one kind is much faster. */
export function emittingRequest (base: Raw): Emit {
  return markReplacing(function emit (this: Raw, ...args) {
    const event = args[0]
    // A request also closes when its body has been read. Only an aborted one has ended.
    const ends = event === 'close' && (this as IncomingMessage).aborted
    const heard = isHeard(this, base, event)
    // Most events have no listener and need no scope.
    if (!heard && !ends) return false
    const lifetime = lifetimeOfRaw(this)
    if (lifetime === undefined) return base.emit.apply(this, args)
    try {
      return heard && (isWithinRequest(lifetime, currentStore()) ? base.emit.apply(this, args) : enter(lifetime.current, emitNow, this, base.emit, args))
    } finally {
      if (ends) lifetime.close(lifetime.answered)
    }
  })
}

/** The same for a response of HTTP/1. */
export function emittingReply (base: Raw): Emit {
  return markReplacing(function emit (this: Raw, ...args) {
    const event = args[0]
    const heard = isHeard(this, base, event)
    if (!heard && event !== 'close' && event !== 'finish') return false
    const lifetime = lifetimeOfResponse(this)
    if (lifetime === undefined) return base.emit.apply(this, args)
    if (event === 'finish') lifetime.answered = true
    try {
      return heard && (isWithinRequest(lifetime, currentStore()) ? base.emit.apply(this, args) : enter(lifetime.current, emitNow, this, base.emit, args))
    } finally {
      // The connection of a response closes once: after all of it was sent, or before.
      if (event === 'close') lifetime.close(lifetime.answered)
    }
  })
}

/** The same for a response of HTTP/2. */
export function emittingHttp2Reply (base: Raw): Emit {
  return markReplacing(function emit (this: Raw, ...args) {
    const lifetime = lifetimeOfResponse(this)
    if (lifetime === undefined) return base.emit.apply(this, args)
    try {
      return isWithinRequest(lifetime, currentStore()) ? base.emit.apply(this, args) : enter(lifetime.current, emitNow, this, base.emit, args)
    } finally {
      // HTTP/2 also emits 'finish' for a stream that was reset, so it only says whether the response was complete.
      if (args[0] === 'close') lifetime.close((this as unknown as Http2ServerResponse).writableEnded)
    }
  })
}
