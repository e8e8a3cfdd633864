import { createHash } from 'node:crypto'
import { fileURLToPath } from 'node:url'

const TYPE = 'FastifyCtxWarning'

/** How many different warnings of one code a process emits: what a client can multiply stays bounded. */
const BUDGET = 100

/** By code, the subjects that were warned about, as hashes: a subject can be as long as a client makes it. */
const emitted = new Map<string, Set<string>>()

/** Emits a process warning, once for each code and subject. The budget of one code never silences another. */
export function warnOnce (code: string, subject: string, message: string, detail?: string): void {
  let subjects = emitted.get(code)
  if (subjects === undefined) emitted.set(code, subjects = new Set())
  if (subjects.size === BUDGET) return
  const hash = createHash('sha256').update(subject).digest('base64')
  if (subjects.has(hash)) return
  subjects.add(hash)
  warn(code, subjects.size === BUDGET ? `${message} (the last of ${BUDGET} different warnings with this code)` : message, detail)
}

/** Emits a process warning, each time. */
export function warn (code: string, message: string, detail?: string): void {
  process.emitWarning(message, detail === undefined ? { type: TYPE, code } : { type: TYPE, code, detail })
}

/** The folder of our own files, in a stack. */
const OURS = fileURLToPath(new URL('..', import.meta.url))

/** ` at file:line:column`: where the caller called us; nothing where the stack has no such line. */
export function callSite (): string {
  const lines = new Error().stack?.split('\n').slice(1) ?? []
  const place = lines.find((line) => !line.includes(OURS) && !line.includes('node:') && !line.includes('node_modules'))
  return place === undefined ? '' : ` ${place.trim()}`
}
