import { EventEmitter } from 'node:events'
import { FST_CTX_INVALID_ARGUMENT } from '../common/errors.ts'
import { bound, currentStore } from './storage.ts'
import { kBound } from '../common/symbols.ts'

type Listener = (...args: any[]) => unknown

/** A function that wraps a listener. Node.js finds the listener by this property when it removes it. */
interface Wrapper extends Listener { listener?: Listener }

type Add = (this: EventEmitter, event: string | symbol, listener: Listener, ...rest: unknown[]) => unknown

const ADDING = ['on', 'addListener', 'prependListener', 'once', 'prependOnceListener'] as const
const USED = [...ADDING, 'off', 'removeListener', 'rawListeners'] as const

/** The listener of each of our wrappers. A wrapper that other code created around ours counts as ours. */
const originals = new WeakMap<Listener, Listener>()

/** Our wrapper of a wrapper that other code made, such as the one that `once` of Node.js removes itself. */
const wrappers = new WeakMap<Listener, Wrapper>()

/**
 * Makes each listener that is added from now on run in the scope in which it was added, for any source of the event. The original methods
 * of the emitter are called with all arguments, because they may belong to a class or to another patch.
 *
 * @throws FST_CTX_INVALID_ARGUMENT
 */
export function bindListeners<E extends EventEmitter> (emitter: E): E {
  if (!isEmitter(emitter)) {
    throw new FST_CTX_INVALID_ARGUMENT('ctx.bindEmitter', 'an EventEmitter of Node; for an EventTarget, an observable or anything else, bind each listener with ctx.bind(listener)')
  }
  if (kBound in emitter) return emitter
  const isPlain = ADDING.every((name) => emitter[name] === EventEmitter.prototype[name])
  define(emitter, kBound, true)
  const { off, removeListener, rawListeners } = emitter
  for (const name of ADDING) define(emitter, name, adding(emitter[name], isPlain ? undefined : rawListeners))
  define(emitter, 'off', removing(off))
  define(emitter, 'removeListener', removing(removeListener))
  define(emitter, 'rawListeners', function (this: EventEmitter, event: string | symbol) {
    return rawListeners.call(this, event).map((entry) => originals.get(entry as Listener) ?? entry)
  })
  return emitter
}

function isEmitter (emitter: unknown): emitter is EventEmitter {
  return USED.every((name) => typeof (emitter as EventEmitter | undefined)?.[name] === 'function')
}

function define (emitter: EventEmitter, name: string | symbol, value: unknown): void {
  Object.defineProperty(emitter, name, { value, enumerable: false, writable: true, configurable: true })
}

/** @param rawListeners lists the entries of an emitter with methods that are not from Node.js */
function adding (add: Add, rawListeners: EventEmitter['rawListeners'] | undefined): Add {
  return function (event, listener, ...rest) {
    if (typeof listener !== 'function') return add.call(this, event, listener, ...rest)
    const { listener: inner } = listener as Wrapper
    const original = inner === undefined ? undefined : originals.get(inner)
    if (original !== undefined) {
      // `once` of Node.js adds a wrapper of our wrapper. It must show the listener, not our wrapper.
      (listener as Wrapper).listener = original
      return add.call(this, event, listener, ...rest)
    }
    const wrapper = wrapperOf(listener, inner)
    if (rawListeners === undefined) return add.call(this, event, wrapper, ...rest)
    const before = rawListeners.call(this, event)
    const result = add.call(this, event, wrapper, ...rest)
    const added = (rawListeners.call(this, event) as Wrapper[]).filter((entry) => !before.includes(entry))
    if (added.length === 1) findable(added[0]!, wrapper, listener)
    return result
  }
}

function wrapperOf (listener: Listener, inner: Listener | undefined): Wrapper {
  const wrapper: Wrapper = bound(currentStore(), listener)
  wrapper.listener = inner ?? listener
  originals.set(wrapper, listener)
  if (inner !== undefined) wrappers.set(listener, wrapper)
  return wrapper
}

/** Lets Node.js find a listener for removal by the entry that another patch created from our wrapper. */
function findable (entry: Wrapper, wrapper: Wrapper, listener: Listener): void {
  if (entry === wrapper || entry.listener === listener) return
  const original = originals.get(entry) as Wrapper | undefined
  if (original === undefined) originals.set(entry, listener)
  else original.listener = listener
  entry.listener = listener
}

function removing (remove: Add): Add {
  return function (event, listener, ...rest) {
    // `removeAllListeners` passes the entries. With the listener instead, the event 'removeListener' reports the listener.
    const entry = originals.has(listener) ? (listener as Wrapper).listener! : wrappers.get(listener) ?? listener
    return remove.call(this, event, entry, ...rest)
  }
}
