import type { Context } from './context.ts'

/** What goes to a worker: what it works on, and the scope that it works in. */
export interface Carried<T> {
  readonly context: string
  readonly data: T
}

/** The calls that take a context to a worker and into it. */
type Carrier = Pick<Context<any>, 'dehydrate' | 'hydrate'>

/**
 * Puts the current scope beside the data of a task: for `pool.run`, `worker.postMessage`, `child.send`.
 *
 * @throws FST_CTX_NO_SCOPE no scope is open here
 * @example
 * const report = await pool.run(carry(ctx, { month: '2026-11' }))
 */
export function carry<T> (ctx: Carrier, data: T): Carried<T> {
  return { context: ctx.dehydrate(), data }
}

/**
 * Makes the function that a worker runs for each task: `fn` gets the data, in the scope that the task came from. The next
 * task begins in its own.
 *
 * @example
 * export default carried(ctx, async ({ month }) => await report(month)) // the file of a Piscina pool
 */
export function carried<T, R> (ctx: Carrier, fn: (data: T) => R): (task: Carried<T>) => Promise<Awaited<R>> {
  return ({ context, data }) => ctx.hydrate(context, () => fn(data))
}
