import { canary } from '../integration/isolation/checker.ts'
import { repeatedNames } from '../support/support.ts'
import { ownersIn, type Visit } from './visit.ts'

/** What can be wrong: another's value, none, an answer that is not as planned. */
export type Wrong = 'crossing' | 'lost' | 'failed'

const ID = /"reqId":"canary-(\d+)-id"/

/** What a line of ours says of itself: whose it is, and what its tenant and user are called; `-` where there may be none yet. */
const LOOK = /^look (\d+) (\S+) (\S+)/

/** As many of what is wrong as are told. */
const TOLD = 20

/** Compares all that is seen with whose it must be. It keeps counts and the first of what is wrong: a soak may not grow by itself. */
export class Tally {
  /** How much was looked at. `excused`: values that the end of their scope had taken away. */
  readonly seen = { values: 0, lines: 0, headers: 0, answers: 0, excused: 0 }
  readonly wrong: Record<Wrong, number> = { crossing: 0, lost: 0, failed: 0 }
  readonly told: string[] = []
  /** How often each shape came to its end. */
  readonly shapes = new Map<string, number>()
  /** What was put off and what of it ran. */
  readonly work = { begun: 0, done: 0 }
  /** The requests whose user is set. */
  readonly #known = new Set<number>()

  know (n: number): void {
    this.#known.add(n)
  }

  /** A scope is over. */
  forget (requestId: string): void {
    for (const n of ownersIn(requestId)) this.#known.delete(n)
  }

  /** A value, where it was read. `always`: the end of the scope is no excuse there. */
  read ({ n, closed }: Pick<Visit, 'n' | 'closed'>, point: string, value: unknown, expected: string, always = false): void {
    this.seen.values++
    if (value === expected) return
    if (value !== undefined) this.find('crossing', `${n}, ${point}: ${String(value)} instead of ${expected}`)
    else if (closed && !always) this.seen.excused++
    else this.find('lost', `${n}, ${point}: no value, instead of ${expected}`)
  }

  /** A log line, as it was written. Lines keep their fields when the scope has ended. */
  line (text: string): void {
    this.seen.lines++
    const line = JSON.parse(text) as Readonly<Record<string, unknown>>
    const message = LOOK.exec(String(line.msg))
    const n = Number(message?.[1] ?? ID.exec(text)?.[1] ?? -1)
    this.#alone(n, 'log line', text)
    if (text.includes(canary(n, 'token'))) this.find('failed', `a key without log is on ${text}`)
    if (repeatedNames(text).length > 0) this.find('failed', `a name stands twice on ${text}`)
    // Of lines that are not ours, Fastify's at the end tells most.
    if (message === null && line.msg !== 'request completed') return
    const [, , tenant = 'tenant', user = this.#known.has(n) ? 'user' : '-'] = message ?? []
    this.#field(n, line.reqId, 'id', text)
    this.#field(n, line.tenant, tenant, text)
    this.#field(n, line.user, user, text)
  }

  /** Headers of an answer or an outgoing call: each with the value it must have, or none. */
  headers (n: number, where: string, found: Readonly<Record<string, unknown>>, expected: Readonly<Record<string, string | undefined>>): void {
    for (const [name, value] of Object.entries(expected)) {
      this.seen.headers++
      if (found[name] === value) continue
      this.find(found[name] === undefined ? 'lost' : 'crossing', `${n}, ${where}: ${name} is ${String(found[name])} instead of ${value}`)
    }
  }

  /** A body, or what has come of one: all it tells is of one request. */
  answer (n: number, text: string, whole: boolean): void {
    this.seen.answers++
    this.#alone(n, 'answer', text)
    if (whole && !text.includes(canary(n, ''))) this.find('lost', `${n}, answer: ${text.slice(0, 500)}`)
  }

  find (wrong: Wrong, what: string): void {
    this.wrong[wrong]++
    if (this.told.length < TOLD) this.told.push(`${wrong}: ${what}`)
  }

  end (shape: string): void {
    this.shapes.set(shape, (this.shapes.get(shape) ?? 0) + 1)
  }

  #alone (n: number, where: string, text: string): void {
    if (ownersIn(text).some((owner) => owner !== n)) this.find('crossing', `${n}, ${where}: ${text.slice(0, 500)}`)
  }

  #field (n: number, value: unknown, name: string, text: string): void {
    if (name === '-' || value === canary(n, name)) return
    this.find(value === undefined ? 'lost' : 'crossing', `${n}, log line: no ${canary(n, name)} in ${text}`)
  }
}
