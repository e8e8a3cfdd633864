// What producer and consumer share: the contexts whose envelopes are signed, and what a job holds.
import { createContext, key } from '../../../lib/index.ts'
import type { Task } from '../workers/task.ts'

const secrets = ['a secret of these tests, and of nobody else']
const keys = { tenant: key<string>({ log: true, carry: true }) }

/** How the consumer reads a job: `plain`, or signed, where one reader is in less of a hurry than the other. */
export const signed = {
  patient: createContext(keys, { envelope: { secrets, ttl: 600_000 } }),
  strict: createContext(keys, { envelope: { secrets, ttl: 200 } })
}

export const QUEUES = ['mails', 'reports', 'lazy'] as const

export interface Data {
  readonly context: string
  readonly task: Task
  readonly reader?: keyof typeof signed
  /** How many attempts fail before one does not. */
  readonly failures?: number
}
