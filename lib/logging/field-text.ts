import { mayName } from './bindings-text.ts'
import { kFormatters } from '../common/symbols.ts'
import { formattersOf, pinoSymbols, type PinoLogger, type PinoSymbols } from './pino-seams.ts'
import type { Fields, LineText } from '../scope/line.ts'
import { placeOf, warnOnce } from '../common/warnings.ts'

/** The longest string that is checked for characters that JSON escapes. */
const MAX_SIMPLE = 64
const QUOTE = 0x22
const BACKSLASH = 0x5c

/** A field of a scope that has ended, as it was serialized at the end. Its value is gone. */
export class KeptField {
  readonly json: string
  /** The serializer and the redaction that it went through: another logger may hide more. */
  readonly serializer: unknown
  readonly stringifiers: unknown

  constructor (json: string, serializer: unknown, stringifiers: unknown) {
    this.json = json
    this.serializer = serializer
    this.stringifiers = stringifiers
  }

  /** The field as a value, where no text can be written. */
  get value (): unknown {
    return JSON.parse(this.json)
  }
}

/** Returns one field as the text that a logger writes where it is bound; an empty text where the logger leaves it out or fails. */
export type FieldText = (name: string, value: unknown) => string

/** Serializes fields as a logger serializes its bindings: by its serializers and its redaction. */
export function fieldText (logger: PinoLogger, symbols: PinoSymbols): FieldText {
  // What a child binds does not go through `formatters.bindings`.
  const binder = Object.create(logger, {
    [kFormatters]: { value: { ...formattersOf(logger), bindings: asTheyAre } },
    [symbols.bindings]: { value: '', writable: true },
    [symbols.serializers]: { value: undefined, writable: true },
    [symbols.stringify]: { value: stringifyOrThrow }
  }) as PinoLogger

  return function textOf (name, value) {
    const serializers = logger[symbols.serializers] as Record<string, unknown>
    try {
      if (!(value instanceof KeptField)) return bind(name, value, serializers)
      const { json, serializer, stringifiers } = value
      if (serializers[name] !== undefined && serializers[name] !== serializer) return bind(name, value.value, serializers)
      return stringifiers === logger[symbols.stringifiers] ? `,"${name}":${json}` : bind(name, value.value, NONE)
    } catch (error) {
      warnOnce('FST_CTX_LOG_FIELD', name, `'${name}' could not be written: a serializer, a censor or the value itself threw. Log lines do without the field until it takes every value of the key`, placeOf(error))
      return ''
    }
  }

  function bind (name: string, value: unknown, serializers: object): string {
    binder[symbols.bindings] = ''
    binder[symbols.serializers] = serializers
    binder.setBindings({ [name]: value })
    return binder[symbols.bindings] as string
  }
}

const NONE = Object.freeze(Object.create(null)) as object

function asTheyAre (bindings: object): object {
  return bindings
}

/** As pino's own, but where pino writes a text about its failure, this throws. */
function stringifyOrThrow (value: unknown, stringifySafe: (value: unknown) => string | undefined): string | undefined {
  try {
    return JSON.stringify(value)
  } catch {
    return stringifySafe(value)
  }
}

/** Keeps a field of an ending scope as the text that the logger of its application writes; `undefined` where there is none. */
export function keepField (name: string, value: unknown, logger: object | undefined): KeptField | undefined {
  const symbols = logger === undefined ? undefined : pinoSymbols(logger)
  if (symbols === undefined) return jsonOf(value)
  const pino = logger as PinoLogger
  const text = textsOf(pino, symbols)(name, value)
  const serializers = pino[symbols.serializers] as Record<string, unknown>
  return text === '' ? undefined : new KeptField(text.slice(name.length + 4), serializers[name], pino[symbols.stringifiers])
}

function jsonOf (value: unknown): KeptField | undefined {
  try {
    const json = JSON.stringify(value) as string | undefined
    return json === undefined ? undefined : new KeptField(json, undefined, undefined)
  } catch {
    return undefined
  }
}

const texts = new WeakMap<PinoLogger, FieldText>()

/** `fieldText` of a logger that lives as long as its application. */
export function textsOf (logger: PinoLogger, symbols: PinoSymbols): FieldText {
  let text = texts.get(logger)
  if (text === undefined) texts.set(logger, text = fieldText(logger, symbols))
  return text
}

/** Returns what makes the text of all fields of a line, beginning with what the logger has bound itself. */
export function lineText (root: PinoLogger, symbols: PinoSymbols): (fields: Fields, own: string) => LineText {
  const textOf = textsOf(root, symbols)
  const serializers = root[symbols.serializers] as Record<string, unknown>
  const redacts = Reflect.ownKeys(root[symbols.stringifiers] as object).length > 0
  /** How a field of each name begins, for names that are not in `startsBeside`, which the logger has bound itself. */
  const starts = new Map<string, string>()
  let startsBeside: string | undefined

  return function textOfLine (fields, own) {
    let text = own
    let id = ''
    for (const name in fields) {
      const start = startOf(name, own)
      if (start === undefined) return { by: root, own, id, text: undefined }
      const value = fields[name]
      // As pino does, for a value that needs no serializer, no redaction and no escapes: most fields are an id.
      const isPlain = !redacts && typeof value === 'string' && serializers[name] === undefined && isSimple(value)
      text += isPlain ? `${start}${value}"` : textOf(name, value)
      if (id === '') id = text
    }
    return { by: root, own, id, text }
  }

  function startOf (name: string, own: string): string | undefined {
    if (startsBeside !== own) {
      starts.clear()
      startsBeside = own
    }
    let start = starts.get(name)
    if (start === undefined && !mayName(own, name)) {
      start = `,"${name}":"`
      starts.set(name, start)
    }
    return start
  }
}

/** Whether a string stands in JSON as it is: short, and of ASCII without quotes, backslashes and controls. */
function isSimple (value: string): boolean {
  if (value.length > MAX_SIMPLE) return false
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i)
    if (code < 0x20 || code > 0x7e || code === QUOTE || code === BACKSLASH) return false
  }
  return true
}
