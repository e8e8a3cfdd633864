import type { EventEmitter } from 'node:events'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { symbolOf } from '../common/symbols.ts'
import { callWithin, isWithinRequest } from '../lifecycle/reentry.ts'
import type { Lifetime, Store } from '../scope/scope.ts'
import { currentStore, enter } from '../scope/storage.ts'
import { emitNow, emittingHttp2Reply, emittingReply, emittingRequest, type Emit, type Raw } from './raw-emit.ts'
import { isReplacing } from './replace-method.ts'

/**
 * Makes an emitter call its listeners in one store, unless it emits in another store of the same request.
 *
 * @param heard called after the listeners of each event
 * @returns a function that reverts this
 */
export function emitWithin (emitter: EventEmitter, lifetime: Lifetime, store: Store, heard?: (event: string | symbol) => void): () => void {
  const { emit } = emitter
  return hide(emitter, 'emit', function (this: EventEmitter, ...args: Parameters<Emit>): boolean {
    try {
      return isWithinRequest(lifetime, currentStore()) ? emit.apply(this, args) : enter(store, emitNow, this, emit, args)
    } finally {
      heard?.(args[0])
    }
  }, emit)
}

/** The signal of a route's `handlerTimeout`, whose timer is older than the scope. */
export const timeoutSignal = {
  target: 'request.signal',
  property: 'dispatchEvent',
  reason: 'the timer of handlerTimeout starts before onRequest, see https://fastify.dev/docs/latest/Reference/Routes/#routes-options',
  without: 'a listener of request.signal runs outside the scope when the time limit of a route passes',

  available (signal: AbortSignal): boolean {
    return typeof signal.dispatchEvent === 'function'
  },

  install (signal: AbortSignal, lifetime: Lifetime): () => void {
    const { dispatchEvent } = signal
    return hide(signal, 'dispatchEvent', function (this: AbortSignal, event: Event): boolean {
      return callWithin(lifetime, () => dispatchEvent.call(this, event))
    }, dispatchEvent)
  }
}

/** Replaces a method of one object by one that looks the same: not enumerable, with the same name and length. Returns a function that reverts this. */
function hide (object: object, name: string, method: (...args: any[]) => unknown, original: (...args: never[]) => unknown): () => void {
  Object.defineProperties(method, { name: { value: original.name }, length: { value: original.length } })
  const before = Object.getOwnPropertyDescriptor(object, name)
  Object.defineProperty(object, name, { value: method, writable: true, enumerable: false, configurable: true })
  return () => {
    // Another tool may have replaced ours since.
    if (Object.getOwnPropertyDescriptor(object, name)?.value !== method) return
    if (before === undefined) Reflect.deleteProperty(object, name)
    else Object.defineProperty(object, name, before)
  }
}

/** Node's classes for the objects of a request, and our subclasses of them. */
type RawClass = (new (...args: any[]) => Raw) & { readonly prototype: Raw }

/** Our prototypes by the original ones. */
const derived = new WeakMap<object, Raw>()

/**
 * Makes the events of Node's two objects for a request reach their listeners in its scope, and its end be noticed. The
 * objects must carry the lifetime of the request.
 *
 * `emit` is on a prototype, as enumerable as Node's, so the objects get no extra property, and a `for…in` copy of one can
 * still emit. Changing the prototype of an object takes 5 µs on Node 24 and 26, so a server creates objects of our classes
 * after its first request. The prototypes of the objects of that request, of HTTP/2 and of `inject()` are changed.
 */
export const rawEvents = {
  target: 'request.raw, reply.raw',
  property: 'emit',
  reason: 'Node emits the events of a connection where the connection was made, see https://nodejs.org/api/async_context.html#integrating-asyncresource-with-eventemitter',
  without: 'listeners of request.raw and reply.raw run outside the scope, and so does code that runs after a body that arrives in parts',

  available ({ raw }: FastifyRequest): boolean {
    return typeof raw.emit === 'function'
  },

  /** @returns a function that reverts the classes of the server; `undefined` if they are already replaced */
  install ({ raw: request }: FastifyRequest, { raw: reply }: FastifyReply): (() => void) | undefined {
    if (isReplacing(request.emit) && isReplacing(reply.emit)) return undefined
    const http2 = request.httpVersionMajor === 2
    const server = http2 ? undefined : (request.socket as { readonly server?: object } | undefined)?.server
    const undo = server === undefined || isReplacing((Object.getPrototypeOf(request) as Raw).emit) ? undefined : replaceClasses(server)
    emitOn(request, emittingRequest)
    emitOn(reply, http2 ? emittingHttp2Reply : emittingReply)
    return undo
  }
}

function replaceClasses (server: object): () => void {
  const undo: Array<() => void> = []
  replaceClass(server, 'IncomingMessage', emittingRequest, undo)
  replaceClass(server, 'ServerResponse', emittingReply, undo)
  return () => { for (const revert of undo) revert() }
}

function emitOn (raw: Raw, emitting: (base: Raw) => Emit): void {
  // If an APM gave it its own `emit`, keep that.
  if (Object.hasOwn(raw, 'emit')) raw.emit = emitting({ emit: raw.emit } as Raw)
  const prototype = Object.getPrototypeOf(raw) as Raw
  if (isReplacing(prototype.emit)) return
  let below = derived.get(prototype)
  if (below === undefined) {
    below = Object.create(prototype, { emit: { value: emitting(prototype), writable: true, enumerable: true, configurable: true } }) as Raw
    derived.set(prototype, below)
  }
  Object.setPrototypeOf(raw, below)
}

/** Node stores the classes of a server's objects under symbols: https://nodejs.org/api/http.html#httpcreateserveroptions-requestlistener sets them. */
function replaceClass (server: object, description: string, emitting: (base: Raw) => Emit, undo: Array<() => void>): void {
  const symbol = symbolOf(server, description)
  if (symbol === undefined) return
  const classes = server as Record<symbol, RawClass>
  const Node = classes[symbol]!
  const Ours = subclassOf(Node)
  Object.defineProperty(Ours, 'name', { value: Node.name })
  Object.defineProperty(Ours.prototype, 'constructor', { value: Node })
  Object.defineProperty(Ours.prototype, 'emit', { value: emitting(Node.prototype), writable: true, enumerable: true, configurable: true })
  classes[symbol] = Ours
  undo.push(() => { if (classes[symbol] === Ours) classes[symbol] = Node })
}

/**
 * A class that an application gave to its server is extended. Node's own are functions, which are called as Node calls the one that it
 * inherits from: a `class` that extends a function creates objects so slowly that a request takes 20 µs longer.
 */
function subclassOf (Node: RawClass): RawClass {
  // The prototype of a `class` cannot be replaced, that of a function can.
  if (Object.getOwnPropertyDescriptor(Node, 'prototype')?.writable !== true) return class extends Node {}
  function Ours (this: Raw, ...args: unknown[]): unknown {
    return Reflect.apply(Node, this, args)
  }
  Object.setPrototypeOf(Ours, Node)
  Ours.prototype = Object.create(Node.prototype) as Raw
  return Ours as unknown as RawClass
}
