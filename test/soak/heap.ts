import { setImmediate as turn } from 'node:timers/promises'

export interface Sample {
  readonly requests: number
  readonly bytes: number
}

/** Bytes per 1,000 requests, with the limits of the 95 % confidence interval. */
export interface Slope {
  readonly bytes: number
  readonly low: number
  readonly high: number
}

/** The used heap after everything collectable is collected. */
export async function heapUsed (): Promise<number> {
  // Objects read from a WeakRef, or held by a finished request, are released some turns later.
  for (let i = 0; i < 4; i++) {
    await turn()
    globalThis.gc!()
  }
  return process.memoryUsage().heapUsed
}

/** Fits a line to the samples by ordinary least squares. */
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

/** Student's t for 95 %, two-sided, by its expansion around the normal distribution. Accurate to 1 % from 4 degrees of freedom on. */
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
