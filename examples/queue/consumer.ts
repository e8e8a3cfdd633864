// Runs jobs in a separate process, each in the scope of the request that added it.
import { createPostgresBackend, type Job } from 'bullmq'
import { pino } from 'pino'
import { connection, ctx, queueName, Worker, type Report } from './context.ts'

const logger = pino({ mixin: ctx.mixin, base: null, timestamp: false })

async function write (month: string, attempt: number): Promise<string> {
  logger.info({ attempt }, 'writing')
  if (attempt === 1) throw new Error('the printer is out of paper')
  return `report ${month} of ${ctx.require('tenant')}`
}

const worker = new Worker(queueName, async ({ data, attemptsMade }: Job<Report>) => await write(data.month, attemptsMade + 1), { connection, concurrency: 5 }, createPostgresBackend)

// It runs in the scope of the job that failed.
worker.on('failed', (_job, error) => { logger.warn({ cause: error.message }, 'failed') })

process.once('message', async () => {
  await worker.close()
  process.disconnect()
})
await worker.waitUntilReady()
process.send?.('ready')
