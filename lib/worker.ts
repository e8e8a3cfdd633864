/**
 * The context in worker threads, pools and child processes.
 *
 * @module fastify-ctx/worker
 */
import type { ContextApi } from './api/context-api.ts'
import { FST_CTX_INVALID_ARGUMENT } from './common/errors.ts'

/** A message to a worker: the data of a task, and its scope. */
export interface Carried<T> {
  /** The envelope from `ctx.dehydrate`. */
  readonly context: string
  /** The data of the task: anything that the worker's messages can contain. */
  readonly data: T
}

/** The methods that carry a context to a worker and restore it there. */
type Carrier = Pick<ContextApi<any>, 'dehydrate' | 'hydrate'>

/**
 * Adds the current scope to the data of a task: for `pool.run`, `worker.postMessage`, `child.send`.
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
 * Creates the function that a worker runs for each task: `fn` gets the data, in the scope from which the task was sent. Each
 * task has its own scope, even if several run at once.
 *
 * @returns rejects with FST_CTX_INVALID_ARGUMENT for a task that `carry` did not create, and with the errors of `ctx.hydrate`;
 * `fn` is not called then
 * @example
 * export default carried(ctx, async ({ month }) => await report(month)) // the file of a Piscina pool
 */
export function carried<T, R> (ctx: Carrier, fn: (data: T) => R): (task: Carried<T>) => Promise<Awaited<R>> {
  return async (task): Promise<Awaited<R>> => {
    // Without this check, data sent without carry() would be lost.
    if (typeof task !== 'object' || task === null || !('context' in task)) throw new FST_CTX_INVALID_ARGUMENT('carried', 'a task from carry(ctx, data)')
    return await ctx.hydrate(task.context, () => fn(task.data))
  }
}
