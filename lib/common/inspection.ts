import { inspect } from 'node:util'

/**
 * Makes `util.inspect`, and by it `console.log`, show an object as the text that `describe` gives. What holds values is held by
 * promises, timers, loggers and requests of Node, and one that is printed must not print them.
 */
export function showAs<T extends object> (prototype: T, describe: (object: T) => string): void {
  Object.defineProperty(prototype, inspect.custom, { value (this: T) { return describe(this) }, configurable: true })
}
