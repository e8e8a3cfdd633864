import { random } from './plan.ts'

/**
 * Where everyone waits: each that comes wakes one of those who wait, chosen by the seed, out of its own code. So hooks and
 * callbacks go on in the code of other requests, as they do with a pool of connections.
 */
export class Shuffle {
  readonly #waiting: Array<() => void> = []
  readonly #next: () => number

  constructor (seed: number) {
    this.#next = random(seed)
  }

  /** Calls `callback` later, from the code of whoever comes then. */
  later (callback: () => void): void {
    this.#waiting.push(callback)
    setImmediate(() => {
      const [woken] = this.#waiting.splice(Math.floor(this.#next() * this.#waiting.length), 1)
      woken!()
    })
  }

  async pause (): Promise<void> {
    await new Promise<void>((resolve) => { this.later(resolve) })
  }
}
