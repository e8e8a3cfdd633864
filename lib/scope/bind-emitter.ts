import type { EventEmitter } from 'node:events'
import { bound, currentStore } from './storage.ts'

type Listener = (...args: any[]) => void

/** A listener's wrapper. Node's own removal finds the listener under this name. */
interface Wrapper extends Listener { listener?: Listener }

const kBound = Symbol('fastify-ctx.bound')

/** Makes each listener that is added from now on run in the scope it was added in, whatever emits the event. */
export function bindListeners<E extends EventEmitter> (emitter: E): E {
  if (kBound in emitter) return emitter
  const { on, prependListener } = emitter
  const add = (method: Listener) => (event: string | symbol, listener: Listener): E => {
    if (typeof listener === 'function') {
      const wrapper: Wrapper = bound(currentStore(), listener)
      wrapper.listener = listener
      method.call(emitter, event, wrapper)
    } else method.call(emitter, event, listener)
    return emitter
  }
  const addOnce = (method: Listener) => (event: string | symbol, listener: Listener): E => {
    if (typeof listener !== 'function') return method.call(emitter, event, listener) as never
    const inScope = bound(currentStore(), listener)
    let fired = false
    const wrapper: Wrapper = function (this: unknown, ...args) {
      // An event emitted within its own listener reaches those that the outer one has still to call.
      if (fired) return
      fired = true
      emitter.removeListener(event, wrapper)
      return inScope.apply(this, args)
    }
    wrapper.listener = listener
    method.call(emitter, event, wrapper)
    return emitter
  }
  return Object.assign(emitter, {
    [kBound]: true,
    on: add(on),
    addListener: add(on),
    prependListener: add(prependListener),
    once: addOnce(on),
    prependOnceListener: addOnce(prependListener)
  })
}
