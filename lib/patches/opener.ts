/** The hooks that open a scope. */
const openers = new WeakSet<object>()

/**
 * Marks the hook that opens a scope, so that it is known in the lists of routes under any name that a bundler gives it. One that an
 * APM has wrapped is not known, and is wrapped like any other hook, which changes nothing: while it runs there is no scope to
 * re-enter yet.
 */
export function markOpener<F extends (...args: any[]) => unknown> (hook: F): F {
  openers.add(hook)
  return keepWhenBound(hook)
}

/**
 * Makes `bind` return the hook itself. Fastify binds each hook to its instance, which makes another function of it; the hook
 * must not use `this`. A tracer copies the properties of a hook to its wrapper, which is bound as ever: what the hook
 * throws passes through the tracer.
 */
export function keepWhenBound<F extends (...args: any[]) => unknown> (hook: F): F {
  function bind (this: F, ...args: [self: unknown]): unknown {
    return this === hook ? hook : Function.prototype.bind.apply(this, args)
  }
  return Object.defineProperty(hook, 'bind', { value: bind, configurable: true })
}

/** Whether a hook opens a scope: before it there is nothing to re-enter. */
export function isOpener (hook: object): boolean {
  return openers.has(hook)
}
