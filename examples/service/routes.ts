import { Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import { authenticate, requireTenant } from './access.ts'
import * as notes from './notes.ts'

const NOTE = {
  type: 'object',
  required: ['text'],
  additionalProperties: false,
  properties: { text: { type: 'string', minLength: 1 } }
}

/** What needs a tenant and a user. Neither is passed on: the layers below ask the context. */
export async function routes (app: FastifyInstance): Promise<void> {
  app.addHook('onRequest', requireTenant)
  app.addHook('preHandler', authenticate)

  app.get('/notes', async () => notes.list())

  app.post<{ Body: { text: string } }>('/notes', { schema: { body: NOTE } }, async (request, reply) => {
    reply.code(201)
    return notes.write(request.body.text)
  })

  app.get<{ Params: { id: string } }>('/notes/:id', async (request) => notes.read(request.params.id))

  app.get('/export', async (_request, reply) => {
    reply.type('application/x-ndjson')
    return Readable.from(notes.exported())
  })

  app.get('/boom', async () => notes.reindex())
}
