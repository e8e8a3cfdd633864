import { fieldText } from './field-text.ts'
import { kFormatters, kNeedsMetadata, type PinoLogger, type PinoSymbols, type PinoWrite } from './pino-seams.ts'
import type { Bound, Fields, Line } from '../scope/line.ts'
import { likenessOf, names, twinOf, without } from './twin.ts'

/** How many loggers a line keeps. */
const KEPT = 4

/** Writes a line of a logger or of one of its children, with the fields of a scope. */
export type WriteWith = (line: Line, logger: PinoLogger, object: unknown, message: string | undefined, level: number) => void

/**
 * What writes the lines of a logger and of its children with the fields of a scope bound, which is pino's cheapest way to
 * write them. Most children differ from it in nothing but what they have bound: one stand-in writes for all of them, with
 * the text of their bindings and of the fields. The others have a twin each.
 */
export function correlatedWriter (root: PinoLogger, write: PinoWrite, symbols: PinoSymbols): WriteWith {
  const { bindings: kBindings, serializers: kSerializers, stringifiers: kStringifiers, levels: kLevels, mixin: kMixin } = symbols
  const standIn = likenessOf(root, symbols)
  const plain = isPlain(root, symbols)
  const textOf = fieldText(root, symbols)

  return function writeWith (line, logger, object, message, level) {
    const repeated = repeatedIn(object, line.fields, logger, symbols)
    if (repeated !== undefined) return write.call(twinOf(logger, repeated, symbols), object, message, level)
    const { text, twin } = boundTo(line, logger)
    if (text === undefined) return write.call(twin as PinoLogger, object, message, level)
    const before = standIn[kBindings]
    standIn[kBindings] = text
    // A getter of what is logged may itself log, before pino has read what the stand-in has bound.
    try { write.call(standIn, object, message, level) } finally { standIn[kBindings] = before }
  }

  function boundTo (line: Line, logger: PinoLogger): Bound {
    const { bound } = line
    for (let i = 0; i < bound.length; i++) {
      const known = bound[i]!
      if (known.logger === logger && known.bindings === logger[kBindings]) return known
    }
    // A request has few loggers; who makes a child for each line needs nothing of it again.
    if (bound.length === KEPT) bound.shift()
    const bindings = logger[kBindings] as string
    const text = isAsOurs(logger) ? textFor(line, bindings) : undefined
    const fresh = { logger, bindings, text, twin: text === undefined ? twinOf(logger, line.fields, symbols) : undefined }
    bound.push(fresh)
    return fresh
  }

  /** Whether a logger differs from ours in nothing but what it has bound. */
  function isAsOurs (logger: PinoLogger): boolean {
    return plain && logger[kSerializers] === root[kSerializers] && logger[kStringifiers] === root[kStringifiers] &&
      logger[kLevels] === root[kLevels] && logger[kMixin] === undefined && logOf(logger) === undefined
  }

  /** The bindings of a child, and the fields that are not among them; `undefined` where that takes a closer look. */
  function textFor (line: Line, bindings: string): string | undefined {
    const own = root[kBindings] as string
    if (line.text?.by !== root || line.text.own !== own) line.text = textOf(line.fields, own)
    const { text, idEnd } = line.text
    if (text === undefined) return undefined
    // Most have bound nothing else, or the request id, which Fastify binds to the logger of a request. Compared whole:
    // V8 makes a loop over the characters of `startsWith`, which costs more than all else here.
    if (bindings === own || (bindings.length === idEnd && bindings === text.slice(0, idEnd))) return text
    if (!bindings.startsWith(own)) return undefined
    const id = text.slice(own.length, idEnd)
    const hasId = bindings.startsWith(id, own.length)
    const more = hasId ? idEnd : own.length
    if (namesAny(bindings.slice(more), line.fields)) return undefined
    return bindings + text.slice(more)
  }
}

function namesAny (bindings: string, fields: Fields): boolean {
  for (const name in fields) if (names(bindings, name)) return true
  return false
}

/** Whether a logger writes no more on its lines than it has bound and is given, and tells nobody of itself. */
function isPlain (logger: PinoLogger, symbols: PinoSymbols): boolean {
  const stream = logger[symbols.stream] as { readonly [kNeedsMetadata]?: boolean }
  return logOf(logger) === undefined && logger[symbols.mixin] === undefined && !logger[symbols.nestedKey] && stream[kNeedsMetadata] !== true
}

function logOf (logger: PinoLogger): unknown {
  return (logger[kFormatters] as { readonly log?: unknown }).log
}

/** The fields that a line's own object does not name, where it names one: on a line, what was written there wins. */
function repeatedIn (object: unknown, fields: Fields, logger: PinoLogger, symbols: PinoSymbols): Fields | undefined {
  if (typeof object !== 'object' || object === null || object instanceof Error || logger[symbols.nestedKey]) return undefined
  for (const name in fields) {
    if (Object.hasOwn(object, name) && (object as Fields)[name] !== undefined) return without(fields, object as Fields)
  }
  return undefined
}
