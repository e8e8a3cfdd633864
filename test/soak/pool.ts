import { Piscina } from 'piscina'
import { carry, type Carried } from '../../lib/worker.ts'
import { canary } from '../support/canary.ts'
import { threadOf } from '../integration/workers/start.ts'
import type { Ctx } from './context.ts'
import type { Tally } from './tally.ts'
import type { Expected } from './visit.ts'
import type { Done, Seen, Task } from './worker.ts'

/** A worker thread that many requests share. Checks what its tasks saw. */
export class Pool {
  readonly #ctx: Ctx
  readonly #tally: Tally
  readonly #piscina: Piscina<Carried<Task>, Done>

  constructor (ctx: Ctx, tally: Tally) {
    this.#ctx = ctx
    this.#tally = tally
    const { filename, options } = threadOf('../../soak/worker.ts')
    this.#piscina = new Piscina({ filename, ...options, minThreads: 1, maxThreads: 1, concurrentTasksPerWorker: 16 } as object)
  }

  /** Carries the current scope to the thread. */
  async run (n: number, { tenant = 'tenant', user = 'user' }: Expected = {}): Promise<Done> {
    const done = await this.#piscina.run(carry(this.#ctx, { n, names: `${tenant} ${user}` }))
    const at = { n, closed: false }
    for (const seen of done.seen) {
      this.#tally.read(at, 'worker, id', seen.requestId, canary(n, 'id'), true)
      this.#tally.read(at, 'worker, tenant', seen.tenant, canary(n, tenant), true)
      this.#tally.read(at, 'worker, user', seen.user, canary(n, user), true)
      this.#tally.read(at, 'worker, actor', seen.actor, canary(n, 'user'), true)
      if (seen.token !== undefined) this.#tally.find('failed', `${n}, worker: a key without carry came along`)
    }
    for (const outside of done.outside) this.#nothing(n, outside)
    for (const line of done.lines) this.#tally.line(line)
    return done
  }

  /** How many scopes are open in the thread while no other task runs, and how many there were in total. */
  async count (): Promise<{ readonly opened: number, readonly open: number }> {
    const n = 0
    const values = { requestId: canary(n, 'id'), tenant: canary(n, 'tenant'), user: { id: canary(n, 'user') } }
    const { opened, ended } = await this.#ctx.run(values, async () => await this.run(n), { inherit: false })
    return { opened, open: opened - 1 - ended }
  }

  async close (): Promise<void> {
    await this.#piscina.destroy()
  }

  #nothing (n: number, seen: Seen): void {
    for (const value of Object.values(seen)) {
      if (value !== undefined) this.#tally.find('crossing', `${n}, worker, outside the task: ${String(value)}`)
    }
  }
}
