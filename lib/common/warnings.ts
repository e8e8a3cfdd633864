import { createHash } from 'node:crypto'
import { inspect } from 'node:util'

const TYPE = 'FastifyCtxWarning'

/** How many different warnings of one code a process emits: what a client can multiply stays bounded. */
const BUDGET = 100

/** By code, the subjects that were warned about, as hashes: a subject can be as long as a client makes it. */
const emitted = new Map<string, Set<string>>()

/** Emits a process warning, once for each code and subject. The budget of one code never silences another. A message that is expensive to make is a function. */
export function warnOnce (code: string, subject: string, message: string | (() => string), detail?: string): void {
  let subjects = emitted.get(code)
  if (subjects === undefined) emitted.set(code, subjects = new Set())
  if (subjects.size === BUDGET) return
  const hash = createHash('sha256').update(subject).digest('base64')
  if (subjects.has(hash)) return
  subjects.add(hash)
  const text = typeof message === 'string' ? message : message()
  warn(code, subjects.size === BUDGET ? `${text} (the last of ${BUDGET} different warnings with this code)` : text, detail)
}

/** By code, how often a warning was emitted since the process started. */
const counts = new Map<string, number>()

/** How often each warning was emitted since the process started, by code. */
export function warningCounts (): Readonly<Record<string, number>> {
  return Object.fromEntries(counts)
}

/** Emits a process warning, each time. */
export function warn (code: string, message: string, detail?: string): void {
  counts.set(code, (counts.get(code) ?? 0) + 1)
  process.emitWarning(message, detail === undefined ? { type: TYPE, code } : { type: TYPE, code, detail })
}

/** The most characters of an error that a warning shows. */
const MAX_DETAIL = 10_000

/** An error as text for the detail of a warning, even where looking at it throws. */
export function describe (error: unknown): string {
  try {
    return inspect(error).slice(0, MAX_DETAIL)
  } catch {
    return 'an error that cannot be inspected'
  }
}

/** A line of a stack that names a place, and nothing else. */
const PLACE = /^ {4}at (?:(?:async |new )?[\w.$<>[\] ]+ \()?\S+:\d+:\d+\)?$/

/** Where an error was thrown, without its message, which may hold a value. `undefined` if that is not certain. */
export function placeOf (error: unknown): string | undefined {
  try {
    if (!(error instanceof Error)) return undefined
    const { message, stack = '' } = error
    const start = stack.indexOf(message)
    // A message that was changed later is not the one in the stack.
    const frames = start === -1 ? [] : stack.slice(start + message.length).split('\n').slice(1)
    return frames.every((line) => line.startsWith('    at ')) ? frames.find((line) => PLACE.test(line))?.trim() : undefined
  } catch {
    return undefined
  }
}

/** A function of ours that user code calls. */
export type EntryPoint = (...args: any[]) => unknown

/**
 * Returns ` at file:line:column`, the line that called the outermost of our functions, or an empty string if the stack has no
 * such line. Functions are recognized by identity, not by file or name: in a bundle all code is in one file, and minified.
 *
 * @param entrances the functions by which a caller may have entered our code
 */
export function callSite (entrances: readonly EntryPoint[]): string {
  const holder: { stack?: string } = {}
  let lines: string[] = []
  for (const entrance of entrances) {
    // Leaves out all frames above the entrance, and the entrance itself. The stack is empty if it was not called.
    Error.captureStackTrace(holder, entrance)
    const below = holder.stack?.split('\n').filter((line) => line.startsWith('    at ')) ?? []
    if (below.length > 0) lines = below
  }
  const place = lines.find((line) => !line.includes('node:') && !line.includes('node_modules'))
  return place === undefined ? '' : ` ${place.trim()}`
}
