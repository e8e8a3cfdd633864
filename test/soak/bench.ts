import type { EventEmitter } from 'node:events'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { canary } from '../integration/isolation/checker.ts'
import type { Shuffle } from '../integration/isolation/shuffle.ts'
import type { Ctx } from './context.ts'
import type { Faults } from './faults.ts'
import type { Jobs } from './jobs.ts'
import type { Looker } from './look.ts'
import type { Pool } from './pool.ts'
import type { Tally } from './tally.ts'
import type { Upstream } from './upstream.ts'

/** What the service is made of, and what its requests share. */
export interface Bench {
  readonly ctx: Ctx
  readonly tally: Tally
  readonly shuffle: Shuffle
  readonly jobs: Jobs
  readonly pool: Pool
  readonly upstream: Upstream
  /** Fired by whoever comes; it has `ctx.bindEmitter`. */
  readonly emitter: EventEmitter
  readonly faults: Faults
  /** Counts an object that is to be gone with its request. */
  readonly track: (object: object) => void
  /** How many requests are open, and the most that were. */
  readonly load: { open: number, most: number }
}

/** An application, its context, and how its code looks at it. */
export interface Served extends Bench {
  readonly app: FastifyInstance
  readonly looker: Looker
}

/** Looks around, waits, looks again, and says what was seen. */
export async function tell ({ ctx, looker, shuffle }: Served, request: FastifyRequest, point: string): Promise<object> {
  looker.look(request, point)
  await shuffle.pause()
  looker.look(request, `${point}, after a pause`)
  return { tenant: ctx.get('tenant'), user: ctx.get('user')?.id, id: ctx.get('requestId') }
}

/** What a handler throws that is to fail. */
export function planned (n: number): Error {
  return Object.assign(new Error(`planned by ${canary(n, 'error')}`), { statusCode: 418 })
}
