/**
 * The context in worker threads, pools and child processes.
 *
 * @module fastify-ctx/worker
 */
import type { Context } from './api/context.ts'
import { FST_CTX_INVALID_ARGUMENT } from './common/errors.ts'

/** What goes to a worker: what it works on, and the scope that it works in. */
export interface Carried<T> {
  /** What `ctx.dehydrate` made. */
  readonly context: string
  /** What the task is about: whatever the worker's messages can hold. */
  readonly data: T
}

/** The calls that take a context to a worker and into it. */
type Carrier = Pick<Context<any>, 'dehydrate' | 'hydrate'>

/**
 * Puts the current scope beside the data of a task: for `pool.run`, `worker.postMessage`, `child.send`.
 *
 * @throws FST_CTX_NO_SCOPE no scope is open here
 * @throws FST_CTX_ENDED the scope has ended
 * @example
 * const report = await pool.run(carry(ctx, { month: '2026-11' }))
 */
export function carry<T> (ctx: Carrier, data: T): Carried<T> {
  return { context: ctx.dehydrate(), data }
}

/**
 * Makes the function that a worker runs for each task: `fn` gets the data, in the scope that the task came from. The next
 * task begins in its own, also where several are worked on at a time.
 *
 * @returns rejects with FST_CTX_INVALID_ARGUMENT for what `carry` did not make, and with what `ctx.hydrate` rejects with;
 * `fn` is not called then
 * @example
 * export default carried(ctx, async ({ month }) => await report(month)) // the file of a Piscina pool
 */
export function carried<T, R> (ctx: Carrier, fn: (data: T) => R): (task: Carried<T>) => Promise<Awaited<R>> {
  return async (task): Promise<Awaited<R>> => {
    // Without it the data of a task that was sent as it is would get lost.
    if (typeof task !== 'object' || task === null || !('context' in task)) throw new FST_CTX_INVALID_ARGUMENT('carried', 'a task that carry(ctx, data) made')
    return await ctx.hydrate(task.context, () => fn(task.data))
  }
}
