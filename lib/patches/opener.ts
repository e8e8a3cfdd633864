/** The hooks that open a scope. */
const openers = new WeakSet<object>()

/**
 * Marks the hook that opens a scope, so that it is known in the lists of routes, whatever a bundler names it. Fastify
 * binds each hook to its instance, which makes another function of it. This one does not use `this`, so its `bind`
 * returns the hook itself. One that an APM has wrapped is not known, and is wrapped like any other hook, which changes nothing:
 * while it runs there is no scope to re-enter yet.
 */
export function markOpener<F extends (...args: any[]) => unknown> (hook: F): F {
  openers.add(hook)
  return Object.defineProperty(hook, 'bind', { value: () => hook, configurable: true })
}

/** Whether a hook opens a scope: before it there is nothing to re-enter. */
export function isOpener (hook: object): boolean {
  return openers.has(hook)
}
