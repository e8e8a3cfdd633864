// The BullMQ back end and its address: the same for the producer and the consumer.
import { createPostgresBackend, setDefaultBackendFactory, type ConnectionOptions } from 'bullmq'

export interface Where {
  readonly kind: 'postgres' | 'redis'
  readonly host: string
  readonly port: number
}

/** Options for each queue, worker and listener of this process. */
export function connect ({ kind, host, port }: Where): { readonly connection: ConnectionOptions } {
  if (kind === 'redis') return { connection: { host, port } }
  setDefaultBackendFactory(createPostgresBackend)
  return { connection: { host, port, user: 'postgres', database: 'postgres', migrate: true, max: 2 } as ConnectionOptions }
}
