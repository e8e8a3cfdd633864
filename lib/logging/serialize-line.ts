import { tracingChannel } from 'node:diagnostics_channel'
import { hasField, mayName, setField } from './bindings-text.ts'
import { fieldText, lineText, textsOf, type FieldText } from './field-text.ts'
import { filtered, isEmpty, isReserved, says, swap, viewOf, withoutNames } from './logger-view.ts'
import { kFormatters } from '../common/symbols.ts'
import { formattersOf, type AsJson, type PinoLogger, type PinoSymbols } from './pino-seams.ts'
import type { Bound, Fields, Line } from '../scope/line.ts'

/** How many loggers a line keeps. */
const LOGGER_CACHE_SIZE = 4

const NO_FIELDS: Fields = Object.freeze(Object.create(null))

/** Serializes a line of a logger or of one of its children, with the fields of a scope. */
export type SerializeLine = (line: Line, idLabel: string, logger: PinoLogger, object: object | undefined, message: string | undefined, level: number, time: string) => string

/** A subscriber is handed the logger that writes a line, which has to be the logger itself. */
const channel = tracingChannel('pino_asJson')

/**
 * Returns a function that serializes the lines of a logger and of its children as pino does, with the fields of a scope
 * bound: pino's cheapest way to write them.
 *
 * pino's `asJson` reads the bindings first, and hands the logger to nobody but the subscribers of its channel. So without
 * subscribers it may be called on another object. Most loggers differ from `root` in nothing but their bindings: one stand-in
 * serializes for all of them, because V8 is much faster when it sees one kind of `this`. Other loggers get a view of their own.
 *
 * @param asJson what serialized the lines before
 * @param isForeign whether that is another tool's, which has to see the logger itself
 */
export function lineSerializer (root: PinoLogger, asJson: AsJson, isForeign: boolean, symbols: PinoSymbols): SerializeLine {
  const {
    bindings: kBindings, serializers: kSerializers, stringifiers: kStringifiers, levels: kLevels, nestedKey: kNestedKey, nestedKeyStart: kNestedKeyStart,
    messageKey: kMessageKey, errorKey: kErrorKey, end: kEnd, stringify: kStringify, stringifySafe: kStringifySafe
  } = symbols
  const standIn = viewOf(root, '', NO_FIELDS, symbols)
  const textOfLine = lineText(root, symbols)
  /** The logger whose bindings are extended now, and what it has bound itself. */
  let extended: { readonly logger: PinoLogger, readonly bindings: string } | undefined

  return function serializeLine (line, idLabel, logger, object, message, level, time) {
    if (!logger[kNestedKey] && repeats(object, line.fields)) return serializeOwn(line, idLabel, logger, object as object, message, level, time)
    const { text, view } = boundTo(line, idLabel, logger)
    if (isSeen()) return serializeSeen(text, line.fields, logger, object, message, level, time)
    if (view !== undefined) return asJson.call(view as PinoLogger, object, message, level, time)
    // This needs no restoring: the bindings are set before each call, and pino reads them before it calls any code of a user's.
    standIn[kBindings] = text
    return asJson.call(standIn, object, message, level, time)
  }

  /** pino looks at the channel in the same way. */
  function isSeen (): boolean {
    return isForeign || channel.hasSubscribers !== false
  }

  /** A line whose object has fields of our names: it wins, unless the name is ours. */
  function serializeOwn (line: Line, idLabel: string, logger: PinoLogger, object: object, message: string | undefined, level: number, time: string): string {
    const added: Fields = Object.assign(Object.create(null), line.fields)
    const dropped: string[] = []
    for (const name in line.fields) {
      if (!says(object, name)) continue
      if (isReserved(name, idLabel)) dropped.push(name)
      else delete added[name]
    }
    const text = composed(bindingsOf(logger), added, idLabel, fieldText(logger, symbols))
    const { log } = formattersOf(logger)
    const given = log === undefined ? withoutNames(object, dropped) : object
    if (isSeen()) return serializeSeen(text, added, logger, given, message, level, time)
    return asJson.call(viewOf(logger, text, added, symbols), given, message, level, time)
  }

  /** By the logger itself: its bindings are extended for the length of the call. A frozen logger takes no other bindings. */
  function serializeSeen (text: string, added: Fields, logger: PinoLogger, object: object | undefined, message: string | undefined, level: number, time: string): string {
    if (!Object.isExtensible(logger)) return asJson.call(viewOf(logger, text, added, symbols), object, message, level, time)
    const before = extended
    extended = { logger, bindings: bindingsOf(logger) }
    const formatters = filtered(logger, added, symbols)
    const restore = [swap(logger, kBindings, text), ...(formatters === undefined ? [] : [swap(logger, kFormatters, formatters)])]
    try {
      return asJson.call(logger, object, message, level, time)
    } finally {
      for (const undo of restore) undo()
      extended = before
    }
  }

  function bindingsOf (logger: PinoLogger): string {
    return extended?.logger === logger ? extended.bindings : logger[kBindings] as string
  }

  function boundTo (line: Line, idLabel: string, logger: PinoLogger): Bound {
    const { bound } = line
    const bindings = bindingsOf(logger)
    for (let i = 0; i < bound.length; i++) {
      const known = bound[i]!
      if (known.logger === logger && known.bindings === bindings) return known
    }
    // A request has few loggers. Code that makes a child for each line never needs one of them again.
    if (bound.length === LOGGER_CACHE_SIZE) bound.shift()
    const made = isPlain(logger) ? { logger, bindings, text: textFor(line, idLabel, bindings), view: undefined } : boundAlone(line, idLabel, logger, bindings)
    bound.push(made)
    return made
  }

  function boundAlone (line: Line, idLabel: string, logger: PinoLogger, bindings: string): Bound {
    const text = composed(bindings, line.fields, idLabel, fieldText(logger, symbols))
    return { logger, bindings, text, view: viewOf(logger, text, line.fields, symbols) }
  }

  /**
   * Whether a logger differs from the stand-in in nothing that `asJson` reads but the bindings. Not a loop over the symbols, in
   * which a single property access would see them all: that cost a request 6,900 instructions.
   */
  function isPlain (logger: PinoLogger): boolean {
    return formattersOf(logger).log === undefined &&
      logger[kSerializers] === root[kSerializers] && logger[kStringifiers] === root[kStringifiers] &&
      logger[kStringify] === root[kStringify] && logger[kStringifySafe] === root[kStringifySafe] &&
      logger[kLevels] === root[kLevels] && logger[kEnd] === root[kEnd] &&
      logger[kNestedKey] === root[kNestedKey] && logger[kNestedKeyStart] === root[kNestedKeyStart] &&
      logger[kMessageKey] === root[kMessageKey] && logger[kErrorKey] === root[kErrorKey]
  }

  function textFor (line: Line, idLabel: string, bindings: string): string {
    const own = bindingsOf(root)
    if (line.text?.by !== root || line.text.own !== own) line.text = textOfLine(line.fields, own)
    const { text, id } = line.text
    if (text !== undefined) {
      // Most have bound nothing else, or the request id, which Fastify binds to the logger of a request. Compared whole:
      // V8 makes a loop over the characters of `startsWith`, which costs more than all else here.
      if (bindings === own || bindings === id) return text
      if (bindings.startsWith(own)) {
        const more = bindings[id.length] === ',' && bindings.startsWith(id) ? id.length : own.length
        if (!namesAny(bindings.slice(more), line.fields)) return bindings + text.slice(more)
      }
    }
    return composed(bindings, line.fields, idLabel, textsOf(root, symbols))
  }
}

/** Bindings extended by fields. What a logger has bound itself wins, unless the name is reserved. */
function composed (bindings: string, fields: Fields, idLabel: string, textOf: FieldText): string {
  let text = bindings
  for (const name in fields) {
    const isBound = hasField(bindings, name)
    if (isBound && !isReserved(name, idLabel)) continue
    const field = textOf(name, fields[name])
    text = isBound && field !== '' ? setField(text, name, field) : text + field
  }
  return text
}

/** Whether what is logged has a field of one of these names. */
function repeats (object: object | undefined, fields: Fields): boolean {
  if (typeof object !== 'object' || isEmpty(object)) return false
  for (const name in fields) if (says(object, name)) return true
  return false
}

function namesAny (bindings: string, fields: Fields): boolean {
  for (const name in fields) if (mayName(bindings, name)) return true
  return false
}
