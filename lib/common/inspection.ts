import { inspect } from 'node:util'

/**
 * Makes `util.inspect`, and therefore `console.log`, print an object as the text that `describe` returns. Promises, timers, loggers and
 * Node's requests reference objects with values. Printing one of them must not print the values.
 */
export function showAs<T extends object> (prototype: T, describe: (object: T) => string): void {
  Object.defineProperty(prototype, inspect.custom, { value (this: T) { return describe(this) }, configurable: true })
}
