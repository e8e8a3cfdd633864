// Shared by producer and consumer: the contexts with signed envelopes, and the data of a job.
import { createContext, key } from '../../../lib/index.ts'
import type { Task } from '../workers/task.ts'

const secrets = ['a secret of these tests, and of nobody else']
const keys = { tenant: key<string>({ log: true, carry: true }) }

/** How the consumer reads a job: `plain`, or signed with a long or a short ttl. */
export const signed = {
  patient: createContext(keys, { envelope: { secrets, ttl: 600_000 } }),
  strict: createContext(keys, { envelope: { secrets, ttl: 200 } })
}

export const QUEUES = ['mails', 'reports', 'lazy'] as const

export interface Data {
  readonly context: string
  readonly task: Task
  readonly reader?: keyof typeof signed
  /** How many attempts fail before one succeeds. */
  readonly failures?: number
}
