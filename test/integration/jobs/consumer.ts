// The consumer: a separate process that works on all available jobs at once.
import { Worker, type Job } from 'bullmq'
import { pino } from 'pino'
import { callerOf, ctx, look } from '../workers/context.ts'
import { perform } from '../workers/task.ts'
import { connect, type Where } from './backend.ts'
import { QUEUES, signed, type Data } from './context.ts'

const logger = pino({ mixin: ctx.mixin, base: null }, process.stdout)

async function work ({ data: { context, task, reader, failures = 0 }, attemptsMade }: Job<Data>): Promise<unknown> {
  const reading = reader === undefined ? ctx : signed[reader]
  return await reading.hydrate(context, async () => {
    logger.info({ task: task.name, attempt: attemptsMade, left: reading.deadline ?? 'no limit' }, 'attempt')
    if (reader !== undefined) return signed[reader].get('tenant')
    return await perform(attemptsMade < failures ? { ...task, fails: 'try again' } : task)
  })
}

/** Records what a listener of a worker sees, first by itself, then in the scope of the job. */
async function hear (event: string, { data: { context, task, reader }, attemptsMade }: Job<Data>, { code, message }: { code?: string, message?: string } = {}): Promise<void> {
  const heard = { heard: event, task: task.name, attempt: attemptsMade, code, message, outside: look() }
  if (reader !== undefined) logger.info(heard, 'heard')
  else await ctx.hydrate(context, () => { logger.info(heard, 'heard') })
}

function start (where: Where): Array<Worker<Data>> {
  return QUEUES.map((name) => {
    const make = (): Worker<Data> => new Worker<Data>(name, work, { ...connect(where), concurrency: 50 })
    const { requestId, tenant } = callerOf(99)
    const worker = name === 'lazy' ? ctx.run({ requestId, tenant }, make) : make()
    worker.on('completed', (job) => { hear('completed', job) })
    worker.on('failed', (job, error) => { hear('failed', job!, error) })
    return worker
  })
}

process.once('message', async (where: Where) => {
  const workers = start(where)
  await Promise.all(workers.map((worker) => worker.waitUntilReady()))
  process.once('message', async () => {
    await Promise.all(workers.map((worker) => worker.close()))
    process.disconnect()
  })
  process.send!('ready')
})
