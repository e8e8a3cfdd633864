// Requests add jobs to a queue, which another process runs later. DATABASE_URL=postgres://… is the address of the queue.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { createPostgresBackend, QueueEvents } from 'bullmq'
import Fastify from 'fastify'
import { connection, ctx, Queue, queueName, type Report } from './context.ts'

const queue = new Queue<Report, string, string, Report, string, string, ReturnType<typeof createPostgresBackend>, typeof connection>(queueName, { connection }, createPostgresBackend)
const events = new QueueEvents(queueName, { connection, blockingTimeout: 500 }, createPostgresBackend)
await Promise.all([queue.waitUntilReady(), events.waitUntilReady()])
const consumer = fork(fileURLToPath(new URL('consumer.ts', import.meta.url)))
await once(consumer, 'message')

const app = Fastify()
await app.register(ctx.plugin)
app.post<{ Params: { month: string } }>('/reports/:month', async ({ params: { month } }, reply) => {
  const { id } = await queue.add('report', { month }, { attempts: 3, backoff: { type: 'fixed', delay: 100 } })
  return reply.code(202).send({ id })
})

const url = await app.listen({ host: '127.0.0.1', port: 0 })
for (const tenant of ['acme', 'globex']) {
  const headers = { 'x-request-id': `demo-${tenant}`, 'x-tenant-id': tenant }
  const answer = await fetch(`${url}/reports/2026-11`, { method: 'POST', headers })
  const { id } = await answer.json() as { id: string }
  console.log(answer.status, await (await queue.getJob(id))!.waitUntilFinished(events))
}
await app.close()
consumer.send('close')
await once(consumer, 'exit')
await Promise.all([events.close(), queue.close()])
