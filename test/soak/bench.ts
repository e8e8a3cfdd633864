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
  /** Whether nothing re-enters the scope but public hooks, and what `bindByHand` does. */
  readonly byHand: boolean
}

/** An application, its context, and how its code looks at it. */
export interface Served extends Bench {
  readonly app: FastifyInstance
  readonly looker: Looker
}

/** Binds what others call, such as a listener, to the scope of a request. With re-entry nobody has to. */
export function bindByHand<F extends (...args: any[]) => unknown> ({ byHand }: Bench, request: FastifyRequest, fn: F): F {
  return byHand ? (request.ctx as unknown as Pick<Ctx, 'bind'>).bind(fn) : fn
}

/** The same for each hook and handler of an application, and for what they call back. */
export function bindAll (served: Served): void {
  const { app } = served
  const bind = (fn: (...args: any[]) => unknown) => function (this: unknown, ...args: any[]): unknown {
    const request = args.find((arg) => arg?.routeOptions !== undefined) as FastifyRequest
    return bindByHand(served, request, fn).apply(this, args.map((arg) => typeof arg === 'function' ? bindByHand(served, request, arg) : arg))
  }
  const { addHook, setErrorHandler, setNotFoundHandler } = app
  app.addHook('onRoute', (route) => { route.handler = bind(route.handler as (...args: any[]) => unknown) as typeof route.handler })
  Object.assign(app, {
    addHook: (kind: string, hook: never) => addHook.call(app, kind as 'onRequest', (kind.startsWith('pre') || /^on(?:Request|Send|Error|Response|Timeout)/.test(kind) ? bind(hook) : hook) as never),
    setErrorHandler: (handler: never) => setErrorHandler.call(app, bind(handler) as never),
    setNotFoundHandler: (handler: never) => (setNotFoundHandler as (this: FastifyInstance, handler: never) => unknown).call(app, bind(handler) as never)
  })
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
