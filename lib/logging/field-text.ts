import type { PinoLogger, PinoSymbols } from './pino-seams.ts'
import type { Fields, LineText } from '../scope/line.ts'
import { likenessOf, names } from './twin.ts'

/** The longest string that is looked at for what JSON escapes. */
const MOST = 64
const QUOTE = 0x22
const BACKSLASH = 0x5c

/** What gives fields as the text that a logger writes where it has them bound, after what it has bound itself. */
export function fieldText (root: PinoLogger, symbols: PinoSymbols): (fields: Fields, own: string) => LineText {
  const binder = likenessOf(root, symbols)
  const serializers = root[symbols.serializers] as Record<string, unknown>
  const redacts = Reflect.ownKeys(root[symbols.stringifiers] as object).length > 0
  /** How a field of each name begins, for names that `startsBeside`, what the logger has bound itself, does not have. */
  const starts = new Map<string, string>()
  let startsBeside: string | undefined

  return function textOf (fields, own) {
    let text = own
    let idEnd = 0
    for (const name in fields) {
      const start = startOf(name, own)
      if (start === undefined) return { by: root, own, text: undefined, idEnd }
      const value = fields[name]
      // As pino does, for what needs neither a serializer, nor redaction, nor escapes: most fields are an id.
      const isPlain = !redacts && typeof value === 'string' && serializers[name] === undefined && isSimple(value)
      text += isPlain ? `${start}${value}"` : asBound(name, value)
      if (idEnd === 0) idEnd = text.length
    }
    return { by: root, own, text, idEnd }
  }

  function startOf (name: string, own: string): string | undefined {
    if (startsBeside !== own) {
      starts.clear()
      startsBeside = own
    }
    let start = starts.get(name)
    if (start === undefined && !names(own, name)) {
      start = `,"${name}":"`
      starts.set(name, start)
    }
    return start
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
