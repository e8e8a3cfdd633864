import { canary } from '../support/canary.ts'
import { repeatedNames } from '../support/support.ts'
import { ownersIn, type Visit } from './visit.ts'

/** The kinds of faults: another request's value, a missing value, a response that differs from the plan. */
export type Wrong = 'crossing' | 'lost' | 'failed'

const ID = /"reqId":"canary-(\d+)-id"/

/** The message of our log lines: the request, and the canary names of its tenant and user; `-` if it may have none yet. */
const LOOK = /^look (\d+) (\S+) (\S+)/

/** The maximum number of reported faults of each kind. */
const TOLD = 20

/** Compares every observation with the request that it must belong to. Keeps only counts and the first faults of each kind, because a soak must not grow. */
export class Tally {
  /** How many checks were made. `excused` counts values that the end of their scope had removed. */
  readonly seen = { values: 0, lines: 0, headers: 0, answers: 0, excused: 0 }
  readonly wrong: Record<Wrong, number> = { crossing: 0, lost: 0, failed: 0 }
  readonly told: string[] = []
  /** How often each shape ended. */
  readonly shapes = new Map<string, number>()
  /** How much work was deferred, and how much of it ran. */
  readonly work = { begun: 0, done: 0 }
  /** The requests whose user is set. */
  readonly #known = new Set<number>()

  know (n: number): void {
    this.#known.add(n)
  }

  /** Records the end of a scope. */
  forget (requestId: string): void {
    for (const n of ownersIn(requestId)) this.#known.delete(n)
  }

  /** Checks a value that was read. With `always`, the end of the scope is no excuse. */
  read ({ n, closed }: Pick<Visit, 'n' | 'closed'>, point: string, value: unknown, expected: string, always = false): void {
    this.seen.values++
    if (value === expected) return
    if (value !== undefined) this.find('crossing', `${n}, ${point}: ${String(value)} instead of ${expected}`)
    else if (closed && !always) this.seen.excused++
    else this.find('lost', `${n}, ${point}: no value, instead of ${expected}`)
  }

  /** Checks a log line as it was written. Lines keep their fields after the scope has ended. */
  line (text: string): void {
    this.seen.lines++
    const line = JSON.parse(text) as Readonly<Record<string, unknown>>
    const message = LOOK.exec(String(line.msg))
    const n = Number(message?.[1] ?? ID.exec(text)?.[1] ?? -1)
    this.#alone(n, 'log line', text)
    if (text.includes(canary(n, 'token'))) this.find('failed', `a key without log is on ${text}`)
    if (repeatedNames(text).length > 0) this.find('failed', `a name stands twice on ${text}`)
    // Of other lines, check Fastify's last one, which has the most fields.
    if (message === null && line.msg !== 'request completed') return
    const [, , tenant = 'tenant', user = this.#known.has(n) ? 'user' : '-'] = message ?? []
    this.#field(n, line.reqId, 'id', text)
    this.#field(n, line.tenant, tenant, text)
    this.#field(n, line.user, user, text)
  }

  /** Checks headers of a response or an outgoing call: each with the value that it must have, or none. */
  headers (n: number, where: string, found: Readonly<Record<string, unknown>>, expected: Readonly<Record<string, string | undefined>>): void {
    for (const [name, value] of Object.entries(expected)) {
      this.seen.headers++
      if (found[name] === value) continue
      this.find(found[name] === undefined ? 'lost' : 'crossing', `${n}, ${where}: ${name} is ${String(found[name])} instead of ${value}`)
    }
  }

  /** Checks a body, or a part of one: all canaries in it must belong to one request. */
  answer (n: number, text: string, whole: boolean): void {
    this.seen.answers++
    this.#alone(n, 'answer', text)
    if (whole && !text.includes(canary(n, ''))) this.find('lost', `${n}, answer: ${text.slice(0, 500)}`)
  }

  find (wrong: Wrong, what: string): void {
    this.wrong[wrong]++
    if (this.wrong[wrong] <= TOLD) this.told.push(`${wrong}: ${what}`)
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
