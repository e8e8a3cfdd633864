import * as bullmq from 'bullmq'
import { bindBullMQ } from '../lib/bullmq.ts'
import { createContext, key } from '../lib/index.ts'
import { expectEqual, expectType } from './expect.ts'

interface Report { readonly month: string }

const ctx = createContext({ tenant: key<string>({ carry: true }) })
const bound = bindBullMQ(ctx, bullmq)

export function theClassesHaveTheTypesOfBullMQ () {
  expectEqual<typeof bound['Queue'], typeof bullmq.Queue>(true)
  expectEqual<typeof bound['Worker'], typeof bullmq.Worker>(true)
  expectEqual<typeof bound['FlowProducer'], typeof bullmq.FlowProducer>(true)
  expectEqual<keyof typeof bound, 'Queue' | 'Worker' | 'FlowProducer' | 'run'>(true)
  const queue = new bound.Queue<Report>('reports', { connection: {} })
  expectType<Promise<bullmq.Job<Report, any, string>>>().of(queue.add('report', { month: '2026-11' }))
  const worker = new bound.Worker<Report, number>('reports', async (job) => job.data.month.length, { connection: {} })
  worker.on('failed', (job) => { expectType<bullmq.Job<Report, number, string> | undefined>().of(job) })
  expectType<Promise<number>>().of(bound.run(undefined as unknown as bullmq.Job<Report>, async () => 1))
  expectType<Promise<number>>().of(bound.run(undefined as unknown as bullmq.SandboxedJob<Report>, () => 1))

  // Data of another type.
  // @ts-expect-error
  queue.add('report', { year: 2026 })
}

export function onlyWhatIsGivenIsBound () {
  const { Queue } = bullmq
  expectType<'Queue' | 'run'>().of(keyOf(bindBullMQ(ctx, { Queue })))

  // Not a class.
  // @ts-expect-error
  bindBullMQ(ctx, { Queue: 7 })

  // An unknown option.
  // @ts-expect-error
  bindBullMQ(ctx, bullmq, { misssing: 'run' })
}

declare function keyOf<T extends object> (object: T): keyof T
