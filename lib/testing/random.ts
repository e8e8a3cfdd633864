/**
 * A generator of random numbers that are the same for the same seed. Generators with the same seed and different streams are
 * independent of each other.
 */
export class Random {
  #state: number

  constructor (seed: number, stream = 0) {
    this.#state = (seed ^ Math.imul(stream + 1, 0x9e3779b9)) >>> 0
    // The first numbers of neighbouring seeds are similar, so skip them.
    for (let i = 0; i < 4; i++) this.fraction()
  }

  /** From 0 up to, not including, 1. */
  fraction (): number {
    // mulberry32
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }

  /** A whole number from 0 up to, not including, `limit`. */
  below (limit: number): number {
    return Math.floor(this.fraction() * limit)
  }

  /** The same elements in random order. */
  shuffled<T> (things: readonly T[]): T[] {
    const shuffled = [...things]
    for (let i = shuffled.length - 1; i > 0; i--) {
      const j = this.below(i + 1)
      const moved = shuffled[i]!
      shuffled[i] = shuffled[j]!
      shuffled[j] = moved
    }
    return shuffled
  }
}
