import { setImmediate as turn } from 'node:timers/promises'

export interface Sample {
  readonly requests: number
  readonly bytes: number
}

/** Bytes for each 1,000 requests, and the limits of the interval that has the true figure in it 95 times of 100. */
export interface Slope {
  readonly bytes: number
  readonly low: number
  readonly high: number
}

/** The heap in use when all that can be collected is. */
export async function heapUsed (): Promise<number> {
  // What a WeakRef or a finished request holds is let go of some turns later.
  for (let i = 0; i < 4; i++) {
    await turn()
    globalThis.gc!()
  }
  return process.memoryUsage().heapUsed
}

/** The line through the samples by ordinary least squares. */
export function slopeOf (samples: readonly Sample[]): Slope {
  const { length } = samples
  const x = mean(samples.map(({ requests }) => requests))
  const y = mean(samples.map(({ bytes }) => bytes))
  const spread = sum(samples.map(({ requests }) => (requests - x) ** 2))
  const slope = sum(samples.map(({ requests, bytes }) => (requests - x) * (bytes - y))) / spread
  const errors = sum(samples.map(({ requests, bytes }) => (bytes - y - slope * (requests - x)) ** 2))
  const margin = student(length - 2) * Math.sqrt(errors / (length - 2) / spread)
  return { bytes: slope * 1000, low: (slope - margin) * 1000, high: (slope + margin) * 1000 }
}

/** Student's t for 95 of 100, both sides, by its expansion around the normal distribution: right to 1 of 100 from 4 degrees on. */
function student (degrees: number): number {
  const z = 1.959964
  return z + (z ** 3 + z) / (4 * degrees) + (5 * z ** 5 + 16 * z ** 3 + 3 * z) / (96 * degrees ** 2) + (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / (384 * degrees ** 3)
}

function mean (figures: readonly number[]): number {
  return sum(figures) / figures.length
}

function sum (figures: readonly number[]): number {
  return figures.reduce((total, figure) => total + figure, 0)
}
