type Method = (this: unknown, ...args: any[]) => unknown
type Listener = (self: unknown, args: readonly unknown[]) => void
type Interceptor = (proceed: () => unknown, self: unknown, args: readonly unknown[]) => unknown

interface Interception {
  readonly interceptors: Set<Interceptor>
  readonly restore: () => void
}

const intercepted = new WeakMap<object, Map<string, Interception>>()

/**
 * Calls a listener before each call of a method, with `this` and the arguments. A method may have any number of listeners. It is
 * restored once the last one is removed, in any order of removal.
 *
 * @returns removes this listener
 */
export function spyOn (holder: object, name: string, listener: Listener): () => void {
  return intercept(holder, name, (proceed, self, args) => {
    listener(self, args)
    return proceed()
  })
}

/**
 * Calls an interceptor instead of a method. It decides when `proceed` makes the call, with the caller's `this` and arguments.
 * Several may intercept one method: each proceeds to the next.
 *
 * @returns removes this interceptor
 */
export function intercept (holder: object, name: string, interceptor: Interceptor): () => void {
  let ofHolder = intercepted.get(holder)
  if (ofHolder === undefined) intercepted.set(holder, ofHolder = new Map())
  let interception = ofHolder.get(name)
  if (interception === undefined) ofHolder.set(name, interception = install(holder, name))
  const { interceptors, restore } = interception
  interceptors.add(interceptor)
  return () => {
    if (!interceptors.delete(interceptor) || interceptors.size > 0) return
    ofHolder.delete(name)
    restore()
  }
}

function install (holder: object, name: string): Interception {
  const interceptors = new Set<Interceptor>()
  const own = Object.getOwnPropertyDescriptor(holder, name)
  const method = (holder as Record<string, Method>)[name]!
  function interceptable (this: unknown, ...args: unknown[]): unknown {
    let proceed = (): unknown => method.apply(this, args)
    for (const interceptor of [...interceptors].reverse()) {
      const next = proceed
      proceed = () => interceptor(next, this, args)
    }
    return proceed()
  }
  Object.defineProperty(holder, name, { value: interceptable, writable: true, enumerable: own?.enumerable ?? false, configurable: true })
  return {
    interceptors,
    restore () {
      if (own === undefined) Reflect.deleteProperty(holder, name)
      else Object.defineProperty(holder, name, own)
    }
  }
}
