import type { PinoLogger, PinoSymbols } from './internals.ts'
import type { Fields, LineText } from './line.ts'
import { likenessOf, names } from './twin.ts'

/** The longest string that is looked at for what JSON escapes. */
const MOST = 64
const QUOTE = 0x22
const BACKSLASH = 0x5c

/** What gives fields as the text that a logger writes where it has them bound, by what it has bound itself. */
export function fieldText (root: PinoLogger, symbols: PinoSymbols): (fields: Fields, own: string) => LineText {
  const binder = likenessOf(root, symbols)
  const serializers = root[symbols.serializers] as Record<string, unknown>
  const redacts = Reflect.ownKeys(root[symbols.stringifiers] as object).length > 0
  /** Names that `freeOf`, what the logger has bound itself, does not have. */
  const free = new Set<string>()
  let freeOf: string | undefined

  return function textOf (fields, own) {
    let first: string | undefined
    let rest = ''
    for (const name in fields) {
      if (!isFree(name, own)) return { by: root, own, first: undefined, rest: '' }
      const value = fields[name]
      // As pino does, for what needs neither a serializer, nor redaction, nor escapes: most fields are an id.
      const isPlain = !redacts && typeof value === 'string' && serializers[name] === undefined && isSimple(value)
      const text = isPlain ? `,"${name}":"${value}"` : asBound(name, value)
      if (first === undefined) first = text
      else rest += text
    }
    return { by: root, own, first, rest }
  }

  function isFree (name: string, own: string): boolean {
    if (freeOf !== own) {
      free.clear()
      freeOf = own
    }
    if (free.has(name)) return true
    if (names(own, name)) return false
    free.add(name)
    return true
  }

  function asBound (name: string, value: unknown): string {
    binder[symbols.bindings] = ''
    binder.setBindings({ [name]: value })
    return binder[symbols.bindings] as string
  }
}

/** Whether a string stands in JSON as it is: short, and of ASCII without quotes, backslashes and controls. */
function isSimple (value: string): boolean {
  if (value.length > MOST) return false
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i)
    if (code < 0x20 || code > 0x7e || code === QUOTE || code === BACKSLASH) return false
  }
  return true
}
