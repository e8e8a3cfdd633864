import { parseArgs } from 'node:util'

/** Faults that can be planted in a soak, to see that it finds them. */
export const FAULTS = ['crossing', 'loss', 'leak', 'rejection', 'scope'] as const

export type Fault = typeof FAULTS[number]

export interface Options {
  readonly milliseconds: number
  /** How many requests are active at once. */
  readonly concurrency: number
  readonly seed: number
  readonly plant: ReadonlySet<Fault>
  /** Whether to register the plugin with `reenter: false`, and bind code that others call by hand. */
  readonly byHand: boolean
}

export const USAGE = `npm run soak -- [options]
  --minutes <n>      how long there is load: 0.05 to 60, default 3
  --concurrency <n>  how many requests are under way at once: 1 to 2000, default 300
  --seed <n>         a whole number: the same mix of requests, default a new one
  --by-hand          with reenter: false, where code that others call is bound by hand
  --plant <fault>    does one thing wrong, which is to be found: ${FAULTS.join(', ')}; may be repeated`

/**
 * Reads the command line arguments.
 *
 * @throws Error that names the invalid argument and the accepted values
 */
export function readOptions (args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      minutes: { type: 'string', default: '3' },
      concurrency: { type: 'string', default: '300' },
      seed: { type: 'string', default: String(Date.now() % 1e9) },
      plant: { type: 'string', multiple: true, default: [] },
      'by-hand': { type: 'boolean', default: false }
    }
  })
  const minutes = numberIn('minutes', values.minutes, 0.05, 60)
  const unknown = values.plant.find((fault) => !FAULTS.includes(fault as Fault))
  if (unknown !== undefined) throw new Error(`--plant takes one of ${FAULTS.join(', ')}, not '${unknown}'`)
  return {
    milliseconds: minutes * 60_000,
    concurrency: whole('concurrency', values.concurrency, 1, 2000),
    seed: whole('seed', values.seed, 0, 2 ** 32 - 1),
    plant: new Set(values.plant as Fault[]),
    byHand: values['by-hand']
  }
}

function whole (name: string, text: string, least: number, most: number): number {
  const number = numberIn(name, text, least, most)
  if (!Number.isInteger(number)) throw new Error(`--${name} takes a whole number, not '${text}'`)
  return number
}

function numberIn (name: string, text: string, least: number, most: number): number {
  const number = text.trim() === '' ? NaN : Number(text)
  if (!(number >= least && number <= most)) throw new Error(`--${name} takes a number from ${least} to ${most}, not '${text}'`)
  return number
}
