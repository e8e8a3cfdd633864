import { carried } from 'fastify-ctx/worker'
import { ctx } from './context.ts'
import * as database from './database.ts'
import type { Job } from './jobs.ts'
import { logger } from './logging.ts'
import * as reports from './reports.ts'

const log = logger('worker')
const running = new Set<Promise<void>>()

/** Runs a job in the scope of the request that ordered it. */
const run = carried(ctx, async ({ report }: Job) => {
  try {
    await reports.make(report)
    log.info({ report }, 'report made')
  } catch (error) {
    log.error({ err: error, report }, 'report failed')
  }
})

database.open(process.env.DATABASE_URL!)

process.on('message', (task: Parameters<typeof run>[0]) => {
  const job = run(task).finally(() => { running.delete(job) })
  running.add(job)
})

// The service asks the worker to stop, or exits. Ctrl-C reaches both.
process.on('SIGINT', () => {})
process.on('disconnect', async () => {
  await Promise.all(running)
  await database.close()
})
