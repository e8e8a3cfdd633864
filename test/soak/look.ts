import { requestContext } from '@fastify/request-context'
import type { FastifyRequest } from 'fastify'
import { canary } from '../support/canary.ts'
import type { Ctx } from './context.ts'
import type { Tally } from './tally.ts'
import { visitOf, type Expected, type Visit } from './visit.ts'

interface Log { info (message: string): void }

/** How a place checks the context. With `always`, the end of the scope is no excuse. */
export interface How extends Expected { readonly always?: boolean }

/** Checks the context in the code of a request, a job or detached work: its values and a log line. */
export class Looker {
  readonly #ctx: Ctx
  readonly #tally: Tally
  /** The loggers that requests share. */
  readonly #shared: readonly Log[]
  #turn = 0

  constructor (ctx: Ctx, tally: Tally, shared: readonly Log[]) {
    this.#ctx = ctx
    this.#tally = tally
    this.#shared = shared
  }

  /** In code inside a request's scope. */
  look (request: FastifyRequest, point: string, how: How = {}): void {
    const visit = visitOf(request)
    this.#read(visit, point, how)
    const access = request.ctx as unknown as Pick<Ctx, 'get'>
    this.#tally.read(visit, `${point}, request.ctx`, access.get('tenant'), canary(visit.n, how.tenant ?? 'tenant'), how.always)
    this.#log(visit, point, how, [request.log, ...this.#shared])
  }

  /** In code without a request, or that outlives it. */
  see (n: number, point: string, how: Expected = {}): void {
    const visit = { n, known: true, closed: false }
    this.#read(visit, point, how)
    this.#log(visit, point, how, this.#shared)
  }

  #read (visit: Visit, point: string, { tenant = 'tenant', user = 'user', always = false }: How): void {
    const { n, known } = visit
    this.#tally.read(visit, `${point}, id`, this.#ctx.get('requestId'), canary(n, 'id'), always)
    this.#tally.read(visit, `${point}, tenant`, this.#ctx.get('tenant'), canary(n, tenant), always)
    this.#tally.read(visit, `${point}, requestContext`, requestContext.get('tenant' as never), canary(n, tenant), always)
    const id = this.#ctx.get('user')?.id
    if (known || id !== undefined) this.#tally.read(visit, `${point}, user`, id, canary(n, user), always)
  }

  /** Writes one line with each logger in turn. */
  #log ({ n, known }: Visit, point: string, { tenant = 'tenant', user = 'user' }: Expected, loggers: readonly Log[]): void {
    loggers[this.#turn++ % loggers.length]!.info(`look ${n} ${tenant} ${known ? user : '-'} ${point}`)
  }
}
