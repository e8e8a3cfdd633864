type Method = (this: unknown, ...args: any[]) => unknown
type Listener = (self: unknown, args: readonly unknown[]) => void

interface Tap {
  readonly listeners: Set<Listener>
  readonly restore: () => void
}

const taps = new WeakMap<object, Map<string, Tap>>()

/**
 * Has a listener told of each call of a method, with `this` and the arguments, before it is made. Any number may listen to one
 * method: it is as it was when the last is gone, in whichever order they go.
 *
 * @returns what makes this listener go
 */
export function listenIn (holder: object, name: string, listener: Listener): () => void {
  let tapped = taps.get(holder)
  if (tapped === undefined) taps.set(holder, tapped = new Map())
  let tap = tapped.get(name)
  if (tap === undefined) tapped.set(name, tap = install(holder, name))
  const { listeners, restore } = tap
  listeners.add(listener)
  return () => {
    if (!listeners.delete(listener) || listeners.size > 0) return
    tapped.delete(name)
    restore()
  }
}

function install (holder: object, name: string): Tap {
  const listeners = new Set<Listener>()
  const own = Object.getOwnPropertyDescriptor(holder, name)
  const method = (holder as Record<string, Method>)[name]!
  function told (this: unknown, ...args: unknown[]): unknown {
    for (const listener of listeners) listener(this, args)
    return method.apply(this, args)
  }
  Object.defineProperty(holder, name, { value: told, writable: true, enumerable: own?.enumerable ?? false, configurable: true })
  return {
    listeners,
    restore () {
      if (own === undefined) Reflect.deleteProperty(holder, name)
      else Object.defineProperty(holder, name, own)
    }
  }
}
