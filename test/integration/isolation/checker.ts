import type { Planned } from './plan.ts'

export type Kind = 'read' | 'line' | 'header' | 'body' | 'failure'

export interface Problem {
  readonly kind: Kind
  /** Whether it is another request's value, and not only a missing one. */
  readonly foreign: boolean
  readonly what: string
}

const CANARY = /canary-(\d+)-\w+/g
const REQUEST_ID = /"reqId":"request-(\d+)"/g
const MESSAGE = /"msg":"look (\d+) (early )?/

/** Compares every observation of a run with the request that it must belong to. */
export class Checker {
  readonly problems: Problem[] = []
  /** How many observations were made, how many values an early end had removed, and the largest number of open requests. */
  readonly counts = { read: 0, line: 0, header: 0, body: 0, missing: 0, open: 0 }
  #open = 0
  readonly #over = new Set<number>()
  readonly #plan: readonly Planned[]

  constructor (plan: readonly Planned[]) {
    this.#plan = plan
  }

  opened (): void {
    this.counts.open = Math.max(this.counts.open, ++this.#open)
  }

  /** Records that the connection of the response has closed. From now on its values may be gone. */
  closed (n: number): void {
    this.#open--
    this.#over.add(n)
  }

  /** Checks a value that was read. It may be undefined after the end of the request, or if it is not set `yet`. */
  read (n: number, point: string, value: string | undefined, expected: string, yet = true): void {
    this.counts.read++
    if (value === expected) return
    if (value === undefined && (!yet || this.#over.has(n))) this.counts.missing++
    else this.#add('read', n, `${point}: ${value} instead of ${expected}`)
  }

  /** Checks one log line as it was written. */
  line (text: string): void {
    this.counts.line++
    const ids = numbersIn(text, REQUEST_ID)
    const message = MESSAGE.exec(text)
    const of = message === null ? ids[0] : Number(message[1])
    const foreign = [...ids, ...numbersIn(text, CANARY)].filter((n) => n !== of)
    if (foreign.length > 0) return this.#add('line', of, `has what is of ${foreign.join(', ')}: ${text}`)
    if (message === null) return
    if (ids.length !== 1) return this.#add('line', of, `has ${ids.length} request ids: ${text}`)
    const tenants = text.split('"tenant":').length - 1
    if (tenants > 1 || text.split('"user":').length > 2) return this.#add('line', of, `names a field twice: ${text}`)
    if (tenants === 0 && message[2] === undefined && !this.#mayTellNothing(of!)) this.#add('line', of, `has no tenant: ${text}`)
  }

  /** Checks a response header, which contains one value, or says that there was none. */
  header (n: number, name: string, value: unknown, expected: string): void {
    this.counts.header++
    if (value !== expected && !(value === 'none' && this.#mayTellNothing(n))) this.#add('header', n, `${name}: ${value} instead of ${expected}`)
  }

  /** Checks a body, or a part of one: all canaries in it must belong to one request. */
  body (n: number, text: string): void {
    this.counts.body++
    const told = numbersIn(text, CANARY)
    if (told.some((number) => number !== n) || (told.length === 0 && !this.#mayTellNothing(n))) this.#add('body', n, text)
  }

  /** Records a request that failed although its plan does not say so. */
  fail (n: number, error: unknown): void {
    if (!this.#mayBeGone(n)) this.#add('failure', n, String(error))
  }

  #mayBeGone (n: number): boolean {
    return this.#plan[n]!.abort !== 'never'
  }

  /** A response sent by a timer may come before the request has its values. */
  #mayTellNothing (n: number): boolean {
    return this.#mayBeGone(n) || this.#plan[n]!.shape === 'timeout'
  }

  #add (kind: Kind, n: number | undefined, what: string): void {
    const { shape, via, abort } = this.#plan[n ?? -1] ?? {}
    const foreign = numbersIn(what, CANARY).concat(numbersIn(what, REQUEST_ID)).some((number) => number !== n)
    this.problems.push({ kind, foreign, what: `${n} (${shape} by ${via}, aborted ${abort}) ${what}` })
  }
}

function numbersIn (text: string, pattern: RegExp): number[] {
  return Array.from(text.matchAll(pattern), ([, n]) => Number(n))
}
