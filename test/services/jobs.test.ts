// BullMQ on Redis, on the port in REDIS_PORT. `npm run test:services` starts it.
import t from 'tap'
import { testJobs } from '../integration/jobs/body.ts'
import { testBoundJobs } from '../integration/jobs/bound.ts'

const port = Number(process.env.REDIS_PORT)
if (!(port > 0)) throw new Error('REDIS_PORT is not set: run `npm run test:services`')

const where = { kind: 'redis', host: '127.0.0.1', port } as const
testJobs(t, async () => where)
testBoundJobs(t, async () => where)
