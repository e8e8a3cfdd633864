// The context of both sides, the server and the consumer, and the queue between them.
import * as bullmq from 'bullmq'
import { createContext, key } from 'fastify-ctx'
import { bindBullMQ } from 'fastify-ctx/bullmq'

export const ctx = createContext({
  tenant: key<string>({ seed: ({ headers }) => headers['x-tenant-id'], log: true, carry: true, locked: true })
}, {
  // Without the signature, anybody who can write to the queue could forge a tenant.
  envelope: { secrets: [process.env.JOB_SECRET ?? 'only for this example: use your own'], ttl: 86_400_000 }
})

/** Jobs of these classes run in the scope of the request that adds them. */
export const { Queue, Worker } = bindBullMQ(ctx, bullmq)

/** BullMQ on PostgreSQL. For Redis, `{ connection: { host, port } }` and no back end. */
export const queueName = 'reports'
export const connection = { connectionString: process.env.DATABASE_URL ?? 'postgres://postgres@localhost', migrate: true }

export interface Report { readonly month: string }
