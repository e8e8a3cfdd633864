/** The hooks that open a scope. */
const openers = new WeakSet<object>()

/**
 * Marks the hook that opens a scope, so that it is recognized in the lists of routes, even if a bundler has renamed it. One that an
 * APM has wrapped is not recognized, and is wrapped like any other hook. That changes nothing, because no scope is open yet
 * while it runs.
 */
export function markOpener<F extends (...args: any[]) => unknown> (hook: F): F {
  openers.add(hook)
  return keepWhenBound(hook)
}

/**
 * Makes `bind` return the hook itself. Fastify binds each hook to its instance, which would create another function, so the hook
 * must not use `this`. A tracer copies the properties of a hook to its wrapper. That wrapper is bound as usual, so errors of the hook
 * pass through the tracer.
 */
export function keepWhenBound<F extends (...args: any[]) => unknown> (hook: F): F {
  function bind (this: F, ...args: [self: unknown]): unknown {
    return this === hook ? hook : Function.prototype.bind.apply(this, args)
  }
  return Object.defineProperty(hook, 'bind', { value: bind, configurable: true })
}

/** Whether a hook opens a scope. Before it there is nothing to re-enter. */
export function isOpener (hook: object): boolean {
  return openers.has(hook)
}
