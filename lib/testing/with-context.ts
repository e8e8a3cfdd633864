import { Context } from '../api/context.ts'
import type { ContextApi } from '../api/context-api.ts'
import { FST_CTX_INVALID_ARGUMENT } from '../common/errors.ts'
import { ctx as readyMade } from '../index.ts'
import type { ContextValues, Values } from '../types.ts'

type TestBody = (this: any, ...args: any[]) => unknown

/**
 * Wraps the body of a test, or of a test hook, so that it runs in a scope with these values: of the ready-made `ctx`, or of the
 * context that is given first. Each call opens a separate root, which sees no outer values and leaves nothing behind. The
 * runner's arguments, `this` and the result are passed on, and the runner sees as many parameters as `fn` has.
 *
 * Vitest's `test` does not infer the type of its argument through it: annotate it as `TestContext`. With a `done` callback the
 * scope's `onEnd` callbacks run when `fn` returns, not when it calls `done`.
 *
 * @returns a function with the parameters and the result of `fn`
 * @throws FST_CTX_INVALID_ARGUMENT the values or the function are missing
 * @example
 * test('lists the orders of the tenant', withContext({ tenant: 'acme' }, async (t) => {
 * t.assert.deepEqual(await listOrders(), ['acme-1'])
 * }))
 */
export function withContext<F extends TestBody> (values: Values<ContextValues>, fn: F): F
export function withContext<V, F extends TestBody> (ctx: ContextApi<V>, values: Values<V>, fn: F): F
export function withContext (...given: readonly unknown[]): TestBody {
  const [ctx, values, fn] = (given[0] instanceof Context ? given : [readyMade, ...given]) as [Context<ContextValues>, Values<ContextValues>, TestBody]
  if (typeof values !== 'object' || values === null) throw new FST_CTX_INVALID_ARGUMENT('withContext', 'an object of values')
  if (typeof fn !== 'function') throw new FST_CTX_INVALID_ARGUMENT('withContext', 'a function, after the values')
  function inContext (this: unknown, ...args: unknown[]): unknown {
    return ctx.run(values, () => fn.apply(this, args), { inherit: false })
  }
  return Object.defineProperties(inContext, {
    name: { value: fn.name, configurable: true },
    // Jest, Mocha and node:test read it to decide whether a test calls `done`.
    length: { value: fn.length, configurable: true },
    // Vitest reads it to find the fixtures of a test.
    toString: { value: () => fn.toString(), configurable: true, writable: true }
  })
}
