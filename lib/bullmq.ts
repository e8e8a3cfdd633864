/**
 * The context in BullMQ jobs: classes that extend BullMQ's, whose jobs run in the scope in which they were added.
 *
 * @module fastify-ctx/bullmq
 */
import type { ContextApi } from './api/context-api.ts'
import { FST_CTX_INVALID_ARGUMENT } from './common/errors.ts'
import { flowProducerOf, queueOf, workerOf, type Class } from './bullmq/classes.ts'
import { JobScopes, type BullMQOptions, type JobLike } from './bullmq/job-scopes.ts'

export type { Class } from './bullmq/classes.ts'
export type { BullMQOptions, JobLike } from './bullmq/job-scopes.ts'

/** The classes that `bindBullMQ` extends. Other exports of BullMQ are ignored. */
export interface BullMQClasses {
  /** `Queue`, or a class that extends it. */
  readonly Queue?: Class
  /** `Worker`, or a class that extends it. */
  readonly Worker?: Class
  /** `FlowProducer`, or a class that extends it. */
  readonly FlowProducer?: Class
}

/** The classes passed to `bindBullMQ`, bound to a context, and `run`. */
export type BoundBullMQ<C extends BullMQClasses> = Pick<C, keyof C & keyof BullMQClasses> & {
  /**
   * Calls `fn` in the scope of a job. The bound `Worker` does this for its processor and listeners. Call it in the file of a sandboxed
   * processor, and in listeners of `QueueEvents`, with the job from `queue.getJob`.
   *
   * @returns what `fn` returns, or its rejection
   * @throws FST_CTX_NOT_CONFIGURED the envelope options of the context are still missing
   * @throws FST_CTX_ENVELOPE_REFUSED the envelope of the job is forged, too old, of another job, or missing
   * @throws FST_CTX_UNPACK_FAILED the `unpack` of a key threw: its `cause`
   */
  run<R> (job: JobLike, fn: () => R): Promise<Awaited<R>>
}

/**
 * Extends BullMQ's classes. A job added by the `Queue` or the `FlowProducer` carries the current scope, and the `Worker` calls its
 * processor and the listeners of that job in this scope. If there are `envelope.secrets`, the queue, the name and the data of
 * the job are signed as well.
 *
 * @param classes the classes to extend, or the whole namespace of `import * as bullmq from 'bullmq'`
 * @throws FST_CTX_INVALID_ARGUMENT the context is missing, or none of the classes is given
 * @throws FST_CTX_INVALID_OPTION an option is wrong
 * @example
 * export const { Queue, Worker } = bindBullMQ(ctx, bullmq)
 */
export function bindBullMQ<C extends BullMQClasses> (ctx: ContextApi<any>, classes: C, options: BullMQOptions = {}): BoundBullMQ<C> {
  const jobs = new JobScopes(ctx, options)
  const { Queue, Worker, FlowProducer } = classes
  if ((Queue ?? Worker ?? FlowProducer) === undefined) throw new FST_CTX_INVALID_ARGUMENT('bindBullMQ', "the classes of BullMQ second: { Queue, Worker, FlowProducer }, or all of import * as bullmq from 'bullmq'")
  const bound = {
    ...Queue !== undefined && { Queue: queueOf(Queue, jobs) },
    ...Worker !== undefined && { Worker: workerOf(Worker, jobs) },
    ...FlowProducer !== undefined && { FlowProducer: flowProducerOf(FlowProducer, jobs) },
    run: <R>(job: JobLike, fn: () => R): Promise<Awaited<R>> => jobs.run(job, fn)
  }
  // Each class has the type of the class that it extends.
  return bound as unknown as BoundBullMQ<C>
}
