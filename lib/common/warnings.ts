import { createHash } from 'node:crypto'
import { inspect } from 'node:util'
import { framesOf, isOwnFrame } from './stack.ts'

const TYPE = 'FastifyCtxWarning'

/** How many different warnings of one code a process emits. Limits warnings that a client can multiply. */
const BUDGET = 100

/** The subjects that were warned about, by code, as hashes, because a client can choose how long a subject is. */
const emitted = new Map<string, Set<string>>()

/** Emits a process warning, once per code and subject. The limit of one code never silences another. Pass a function as the message if it is expensive to build. */
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

/** How often each warning was emitted since the process started, by code. */
const counts = new Map<string, number>()

/** Returns how often each warning was emitted since the process started, by code. */
export function warningCounts (): Readonly<Record<string, number>> {
  return Object.fromEntries(counts)
}

/** Emits a process warning each time. */
export function warn (code: string, message: string, detail?: string): void {
  counts.set(code, (counts.get(code) ?? 0) + 1)
  process.emitWarning(message, detail === undefined ? { type: TYPE, code } : { type: TYPE, code, detail })
}

/** The maximum length of an error in the detail of a warning. */
const MAX_DETAIL = 10_000

/** Returns an error as text for the detail of a warning, even if inspecting it throws. */
export function describe (error: unknown): string {
  try {
    return inspect(error).slice(0, MAX_DETAIL)
  } catch {
    return 'an error that cannot be inspected'
  }
}

/** A stack line with nothing but a place. */
const PLACE = /^ {4}at (?:(?:async |new )?[\w.$<>[\] ]+ \()?\S+:\d+:\d+\)?$/

/** Returns where an error was thrown, without its message, which may contain a value. `undefined` if that is not certain. */
export function placeOf (error: unknown): string | undefined {
  try {
    if (!(error instanceof Error)) return undefined
    const { message, stack = '' } = error
    const start = stack.indexOf(message)
    // If the message was changed later, it is not the one in the stack.
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
 * such line. Functions are recognized by identity, not by file or name: in a bundle all code is in one file and minified.
 *
 * @param entrances the functions through which a caller may have entered our code
 */
export function callSite (entrances: readonly EntryPoint[]): string {
  const holder: { stack?: string } = {}
  let frames: string[] = []
  for (const entrance of entrances) {
    // Leaves out the entrance and all frames above it. The stack is empty if the entrance was not called.
    Error.captureStackTrace(holder, entrance)
    const below = framesOf(holder.stack)
    if (below.length > 0) frames = below
  }
  const place = frames.find(isOwnFrame)
  return place === undefined ? '' : ` at ${place}`
}
