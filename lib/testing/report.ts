import { AssertionError } from 'node:assert'
import type { Crossing, FiredRequest, Found } from './crossing.ts'
import type { SentRequest } from './sent-request.ts'

/** How many kinds of crossings a report describes. */
const MAX_KINDS = 10

/** The rejection of `assertIsolated`. Its message is the report. */
export interface IsolationError extends AssertionError {
  /** Repeats the run. */
  readonly seed: number
  /** Empty if the run failed because a request was not answered. */
  readonly crossings: readonly Crossing[]
}

/** Facts about the run for its error. */
export interface Run {
  readonly sent: number
  readonly seed: number
  /** The function that the user called. The stack begins below it. */
  readonly caller: (...args: any[]) => unknown
  /** The call that repeats the run. */
  readonly again: string
}

/** The error of a run with crossings. */
export function crossingError (found: readonly Found[], { sent: fired, seed, caller, again }: Run): IsolationError {
  const kinds = kindsOf(found)
  const told = kinds.slice(0, MAX_KINDS)
  const message = [
    `${found.length} ${found.length === 1 ? 'value' : 'values'} crossed between ${fired} requests (seed ${seed})`,
    ...told.map((alike, i) => `${i + 1}. ${describeKind(alike)}`),
    ...(kinds.length > MAX_KINDS ? [`and ${kinds.length - MAX_KINDS} kinds more`] : []),
    canariesOf(told.map(([first]) => first!)),
    repeat(again)
  ].join('\n\n')
  const crossings = found.map(({ index, ...crossing }): Crossing => crossing)
  return isolationError(message, { seed, crossings }, caller)
}

/** The error of a run in which a request was not answered, and therefore not checked. */
export function unansweredError (unanswered: readonly SentRequest[], { sent: fired, seed, caller, again }: Run): IsolationError {
  const lines = unanswered.slice(0, MAX_KINDS).map(({ number, method, request, failure }) => `request ${number}, ${method} ${request.url}: ${(failure as Error).message}`)
  const message = [`${unanswered.length} of ${fired} requests had no answer, and were not checked (seed ${seed})`, lines.join('\n'), repeat(again)].join('\n\n')
  return isolationError(message, { seed, crossings: [], cause: unanswered[0]!.failure }, caller)
}

/** Test runners print enumerable properties, and Jest adds a sentence for each `operator` except this one. The message contains everything. */
function isolationError (message: string, details: Record<string, unknown>, caller: Run['caller']): IsolationError {
  const error = new AssertionError({ message, operator: 'fail', stackStartFn: caller })
  for (const [name, value] of Object.entries(details)) Object.defineProperty(error, name, { value, enumerable: false })
  return error as IsolationError
}

/** Reports crossings of one kind once: the same function of the list, in the same place. */
function kindsOf (found: readonly Found[]): Found[][] {
  const kinds = new Map<string, Found[]>()
  for (const crossing of found) {
    const kind = kindOf(crossing)
    const alike = kinds.get(kind)
    if (alike === undefined) kinds.set(kind, [crossing])
    else alike.push(crossing)
  }
  return [...kinds.values()]
}

function kindOf ({ index, where, at, line }: Found): string {
  return JSON.stringify([index, where, where === 'body' ? at.replace(/\d+/g, '0') : at, line])
}

function describeKind ([first, ...others]: readonly Found[]): string {
  const { reader, owner, excerpt, line } = first!
  return [
    `${nameOf(reader)}, saw the value of ${nameOf(owner)}`,
    `   ${textOfPlace(first!)}: ${excerpt}`,
    ...(reader.route === undefined ? [] : [`   route ${reader.route}`]),
    ...(line === undefined ? [] : [`   at ${line}`]),
    ...(others.length === 0 ? [] : [`   and so did ${others.length === 1 ? 'another' : `${others.length} others`}: ${others.slice(0, MAX_KINDS).map(({ reader, owner }) => `${reader.number} that of ${owner.number}`).join(', ')}${others.length > MAX_KINDS ? '…' : ''}`])
  ].join('\n')
}

function textOfPlace ({ where, at, logger }: Crossing): string {
  switch (where) {
    case 'body': return `in the body of its answer, at ${at}`
    case 'header': return `in the header ${at} of its answer`
    case 'log': return `on its log line "${at}" (${logger})`
    case 'value': return `in its scope, as '${at}'`
  }
}

function nameOf ({ number, method, url, canary }: FiredRequest): string {
  return `request ${number}, ${method} ${url.replaceAll(canary, '<its canary>')}`
}

function canariesOf (crossings: readonly Crossing[]): string {
  const named = new Map(crossings.flatMap(({ reader, owner }) => [reader, owner]).map(({ number, canary }) => [number, canary]))
  return `The canaries:\n${[...named].sort(([a], [b]) => a - b).map(([number, canary]) => `   ${number}: ${canary}`).join('\n')}`
}

function repeat (again: string): string {
  return `The same requests in the same order: ${again}`
}
