import { Random } from '../../lib/testing/random.ts'

/**
 * A place where requests wait. Each arrival wakes a waiting one, chosen by the seed, in its own code. So hooks and callbacks
 * continue in the code of other requests, as with a connection pool.
 */
export class Shuffle {
  readonly #waiting: Array<() => void> = []
  readonly #random: Random

  constructor (seed: number) {
    this.#random = new Random(seed)
  }

  /** Calls `callback` later, in the code of the request that arrives then. */
  later (callback: () => void): void {
    this.#waiting.push(callback)
    setImmediate(() => {
      const [woken] = this.#waiting.splice(this.#random.below(this.#waiting.length), 1)
      woken!()
    })
  }

  async pause (): Promise<void> {
    await new Promise<void>((resolve) => { this.later(resolve) })
  }
}
