// Runs jobs in a separate process, each in the scope of the request that added it.
import { createPostgresBackend, Worker, type Job } from 'bullmq'
import { pino } from 'pino'
import { connection, ctx, queueName, type Report } from './context.ts'

const logger = pino({ mixin: ctx.mixin, base: null, timestamp: false })

async function write (month: string, attempt: number): Promise<string> {
  logger.info({ attempt }, 'writing')
  if (attempt === 1) throw new Error('the printer is out of paper')
  return `report ${month} of ${ctx.require('tenant')}`
}

const worker = new Worker(queueName, ({ data, attemptsMade }: Job<Report>) => ctx.hydrate(data.context, () => write(data.month, attemptsMade + 1)), { connection, concurrency: 5 }, createPostgresBackend)

// A listener belongs to no job: its arguments say which one.
worker.on('failed', (job, error) => {
  if (job !== undefined) ctx.hydrate(job.data.context, () => { logger.warn({ cause: error.message }, 'failed') }).catch((refused) => { logger.error(refused) })
})

process.once('message', async () => {
  await worker.close()
  process.disconnect()
})
await worker.waitUntilReady()
process.send?.('ready')
