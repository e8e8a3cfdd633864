import type { FastifyRequest } from 'fastify'
import type { Shuffle } from '../support/shuffle.ts'
import type { Ctx } from './context.ts'
import type { Looker } from './look.ts'
import type { Fault } from './options.ts'
import { visitOf } from './visit.ts'

/** One of this many requests has the fault. */
const RARE = 50

/** Introduces a planted fault, as users make it. It proves that a soak can fail. */
export class Faults {
  readonly #ctx: Ctx
  readonly #shuffle: Shuffle
  readonly #plant: ReadonlySet<Fault>
  readonly #kept: unknown[] = []

  constructor (ctx: Ctx, shuffle: Shuffle, plant: ReadonlySet<Fault>) {
    this.#ctx = ctx
    this.#shuffle = shuffle
    this.#plant = plant
  }

  /** A request is in its handler, with its values. */
  handle (request: FastifyRequest, looker: Looker): void {
    const { n } = visitOf(request)
    if (this.#plant.has('leak')) this.#kept.push(request)
    if (n % RARE !== 0) return
    // A task in a queue that requests share, without ctx.bind.
    if (this.#plant.has('crossing')) this.#shuffle.later(() => { looker.see(n, 'planted') })
    if (this.#plant.has('loss')) this.#ctx.run({ user: undefined }, () => { looker.see(n, 'planted') })
    if (this.#plant.has('rejection')) Promise.reject(new Error(`planted by ${n}`))
    if (this.#plant.has('scope')) this.#ctx.run({}, () => new Promise(() => {}), { inherit: false })
  }
}
