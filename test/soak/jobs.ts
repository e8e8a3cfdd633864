import type { Shuffle } from '../support/shuffle.ts'
import { canary } from '../support/canary.ts'
import type { Ctx } from './context.ts'
import type { Looker } from './look.ts'
import type { Tally } from './tally.ts'
import type { Expected } from './visit.ts'

interface Job {
  readonly n: number
  readonly envelope: string
  readonly expected: Expected
  readonly looker: Looker
}

/** How many jobs run at once. */
const AT_ONCE = 20

/** A queue in this process: a job waits with the envelope of its request, and runs in the scope of that envelope. */
export class Jobs {
  readonly #ctx: Ctx
  readonly #tally: Tally
  readonly #shuffle: Shuffle
  readonly #waiting: Job[] = []
  #running = 0

  constructor (ctx: Ctx, tally: Tally, shuffle: Shuffle) {
    this.#ctx = ctx
    this.#tally = tally
    this.#shuffle = shuffle
  }

  get idle (): boolean {
    return this.#running === 0
  }

  /** Adds a job that must see the current scope. */
  add (n: number, looker: Looker, expected: Expected = {}): void {
    this.#waiting.push({ n, envelope: this.#ctx.dehydrate({ remaining: false }), expected, looker })
    this.#tally.work.begun++
    // Called from any code: jobs run only in their own scope.
    if (this.#running < AT_ONCE) this.#shuffle.later(() => { this.#next().catch((error: unknown) => { this.#tally.find('failed', `job: ${String(error)}`) }) })
  }

  async #next (): Promise<void> {
    this.#running++
    for (let job = this.#waiting.shift(); job !== undefined; job = this.#waiting.shift()) {
      const failed = await this.#perform(job).then(() => false, (error: Error) => error.message === 'planned')
      if (failed !== (job.n % 5 === 0)) this.#tally.find('failed', `job of ${job.n}`)
      this.#tally.work.done++
    }
    this.#running--
  }

  async #perform ({ n, envelope, expected, looker }: Job): Promise<void> {
    await this.#ctx.hydrate(envelope, async () => {
      looker.see(n, 'job', expected)
      await this.#shuffle.pause()
      looker.see(n, 'job, after a pause', expected)
      this.#tally.read({ n, closed: false }, 'job, actor', this.#ctx.actor('user')?.id, canary(n, 'user'), true)
      await this.#ctx.run({ tenant: canary(n, 'inner') }, async () => {
        await this.#shuffle.pause()
        looker.see(n, 'job, inner', { ...expected, tenant: 'inner' })
      })
      if (n % 5 === 0) throw new Error('planned')
    })
  }
}
