import { fileURLToPath } from 'node:url'

const TYPE = 'FastifyCtxWarning'

const told = new Set<string>()

/** As many different warnings as one process tells: what a name from outside can multiply stays bounded. */
const LIMIT = 1000

/** Emits a process warning, once for each code and subject. */
export function warnOnce (code: string, subject: string, message: string, detail?: string): void {
  const warning = `${code} ${subject}`
  if (told.has(warning) || told.size >= LIMIT) return
  told.add(warning)
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
