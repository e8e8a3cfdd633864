import type { FastifyInstance } from 'fastify'
import { ctx } from './context.ts'
import { query, transaction } from './database.ts'
import { NO_USER } from './errors.ts'
import type { Jobs } from './jobs.ts'
import * as notes from './notes.ts'
import * as reports from './reports.ts'

const NOTE = {
  type: 'object',
  required: ['text'],
  additionalProperties: false,
  properties: { text: { type: 'string', minLength: 1 } }
}

/** No route passes a tenant on: the layers below ask the context. */
export async function routes (app: FastifyInstance, { jobs }: { jobs: Jobs }): Promise<void> {
  app.addHook('onRequest', async () => { if (!ctx.has('user')) throw new NO_USER() })

  app.get('/notes', async () => notes.list())

  app.post<{ Body: { text: string } }>('/notes', { schema: { body: NOTE }, onRequest: notes.checkQuota }, async (request, reply) => {
    reply.code(201)
    return notes.write(request.body.text)
  })

  app.post('/reports', async (_request, reply) => {
    const report = await reports.order()
    jobs.add({ report: report.id })
    reply.code(202)
    return report
  })

  app.get<{ Params: { id: string } }>('/reports/:id', async (request) => reports.find(request.params.id))

  /** Forgets the transaction, and gets no rows. */
  app.get('/forgotten', async () => query('select * from notes'))

  /** Fails in a transaction, which is rolled back. */
  app.get('/boom', async () => transaction(async () => {
    await notes.write('half of the work')
    throw new Error('the other half is broken')
  }))
}
