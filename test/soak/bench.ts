import type { EventEmitter } from 'node:events'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { canary } from '../support/canary.ts'
import type { Shuffle } from '../support/shuffle.ts'
import type { Ctx } from './context.ts'
import type { Faults } from './faults.ts'
import type { Jobs } from './jobs.ts'
import type { Looker } from './look.ts'
import type { Pool } from './pool.ts'
import type { Tally } from './tally.ts'
import type { Upstream } from './upstream.ts'

/** The parts of the service, and what its requests share. */
export interface Bench {
  readonly ctx: Ctx
  readonly tally: Tally
  readonly shuffle: Shuffle
  readonly jobs: Jobs
  readonly pool: Pool
  readonly upstream: Upstream
  /** Emitted by any request. It was passed to `ctx.bindEmitter`. */
  readonly emitter: EventEmitter
  readonly faults: Faults
  /** Counts an object that must be collected after its request. */
  readonly track: (object: object) => void
  /** How many requests are open, and their largest number so far. */
  readonly load: { open: number, most: number }
  /** Whether only public hooks re-enter the scope, and `bindByHand` binds the rest. */
  readonly byHand: boolean
}

/** An application, its context, and how its code checks it. */
export interface Served extends Bench {
  readonly app: FastifyInstance
  readonly looker: Looker
}

/** Binds a function that others call, such as a listener, to the scope of a request. With re-entry this is not needed. */
export function bindByHand<F extends (...args: any[]) => unknown> ({ byHand }: Bench, request: FastifyRequest, fn: F): F {
  return byHand ? (request.ctx as unknown as Pick<Ctx, 'bind'>).bind(fn) : fn
}

/** The same for each hook and handler of an application, and for the callbacks that they pass on. */
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

/** Checks the context, waits, checks again, and returns what it saw. */
export async function tell ({ ctx, looker, shuffle }: Served, request: FastifyRequest, point: string): Promise<object> {
  looker.look(request, point)
  await shuffle.pause()
  looker.look(request, `${point}, after a pause`)
  return { tenant: ctx.get('tenant'), user: ctx.get('user')?.id, id: ctx.get('requestId') }
}

/** The error of a handler that is planned to fail. */
export function planned (n: number): Error {
  return Object.assign(new Error(`planned by ${canary(n, 'error')}`), { statusCode: 418 })
}
