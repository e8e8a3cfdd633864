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
