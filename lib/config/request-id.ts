import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Http2ServerRequest } from 'node:http2'
import { FST_CTX_INVALID_OPTION } from '../common/errors.ts'
import { HEADER_NAME } from './key-policies.ts'
import { warnOnce } from '../common/warnings.ts'

/** Where the request id comes from, and which response header returns it. */
export interface RequestIdOptions {
  /** The request header that may bring an id, in lower case; `false`: none is read. Default `x-request-id`. */
  readonly header?: string | false
  /** What an id from outside must match, besides being 1 to 128 visible ASCII characters. Default `^[\w.:-]{1,128}$`. */
  readonly pattern?: RegExp
  /** Makes an id where none was accepted. Default: Fastify's `genReqId` option if one was given, else a random UUID. */
  readonly generate?: (raw: IncomingMessage | Http2ServerRequest) => string
  /** The response header that tells the id; `false`: none. Default `x-request-id`. */
  readonly responseHeader?: string | false
}

/** Accepts or makes the id of a request: what Fastify calls as its `genReqId`. Never throws. */
export type RequestIds = (raw: IncomingMessage | Http2ServerRequest) => string

/** The header that brings and tells a request id, unless options say otherwise. */
export const DEFAULT_HEADER = 'x-request-id'
const DEFAULT_PATTERN = /^[\w.:-]{1,128}$/
const OPTIONS: ReadonlySet<string> = new Set(['header', 'pattern', 'generate', 'responseHeader'])

/** The longest request id. */
const MAX_LENGTH = 128

/**
 * Checks the options and makes the function that accepts or makes ids.
 *
 * @param known the id of a request that has one already: `app.routing()` hands it to the router again
 * @throws FST_CTX_INVALID_OPTION
 */
export function requestIds (options: RequestIdOptions, inherited: RequestIds | undefined, known: (raw: object) => string | undefined): RequestIds {
  checkOptions(options)
  const header = options.header === false ? undefined : (options.header ?? DEFAULT_HEADER).toLowerCase()
  const pattern = idPattern(options)
  const generate = options.generate ?? inherited ?? randomUUID as () => string
  // A generator that Fastify had before us may itself repeat a header: what it makes is checked like one.
  const allowed = options.generate === undefined && inherited !== undefined ? pattern : undefined

  function acceptOrMakeRequestId (raw: Parameters<RequestIds>[0]): string {
    const before = known(raw)
    if (before !== undefined) return before
    const given = header === undefined ? undefined : (raw as typeof raw | undefined)?.headers[header]
    if (isSafeId(given) && pattern.test(given)) return given
    return generate === randomUUID ? randomUUID() : madeBy(generate, raw, allowed)
  }
  ours.add(acceptOrMakeRequestId)
  return acceptOrMakeRequestId
}

/**
 * The same for a generator that is set after the plugin: it makes all ids, and they are checked.
 *
 * @param known the id of a request that has one already
 */
export function checkedIds (generate: RequestIds, known: (raw: object) => string | undefined): RequestIds {
  if (ours.has(generate)) return generate
  return function checkRequestId (raw) {
    return known(raw) ?? madeBy(generate, raw)
  }
}

/** An id of a generator; a new one where it gives none that is safe and allowed. */
function madeBy (generate: RequestIds, raw: Parameters<RequestIds>[0], allowed?: RegExp): string {
  try {
    const made = generate(raw)
    if (isSafeId(made) && allowed?.test(made) !== false) return made
    warnAboutGenerator('returned something that is no safe id', made)
  } catch (error) {
    // Fastify calls this before anything could answer the request: a throw would end the process.
    warnAboutGenerator('threw', error)
  }
  return randomUUID()
}

/** What an id from outside must match. */
export function idPattern ({ pattern }: RequestIdOptions): RegExp {
  // Without its flags g and y a pattern has no memory of the last match.
  return pattern === undefined ? DEFAULT_PATTERN : new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, ''))
}

/** The generators that this module made: a name would not survive a minifier. */
const ours = new WeakSet<RequestIds>()

/** Whether a generator checks its ids already. */
export function isChecked (generate: RequestIds): boolean {
  return ours.has(generate)
}

/** Whether a generator reads like the counter of Fastify, whose ids are unique in one process only. Texts and methods keep their names in a minifier. */
export function isCounter (generate: RequestIds): boolean {
  return generate.length === 0 && /req-.*\.toString\(36\)/s.test(String(generate))
}

/** The id of a request whose generator was set after the plugin: a new one where it is not safe in a header. */
export function checkedId (id: unknown): string {
  if (isSafeId(id)) return id
  warnAboutGenerator('returned something that is no safe id', id)
  return randomUUID()
}

/** The response header that tells the id, or `undefined` where none does. */
export function responseHeader (options: RequestIdOptions): string | undefined {
  return options.responseHeader === false ? undefined : (options.responseHeader ?? DEFAULT_HEADER).toLowerCase()
}

function checkOptions (options: RequestIdOptions): void {
  if (typeof options !== 'object' || options === null) throw new FST_CTX_INVALID_OPTION('requestId', `takes an object of ${[...OPTIONS].join(', ')}`)
  for (const name of Object.keys(options)) {
    if (!OPTIONS.has(name)) throw new FST_CTX_INVALID_OPTION(`requestId.${name}`, `does not exist: requestId takes ${[...OPTIONS].join(', ')}`)
  }
  for (const name of ['header', 'responseHeader'] as const) {
    const value: unknown = options[name]
    if (value !== undefined && value !== false && !(typeof value === 'string' && HEADER_NAME.test(value))) {
      throw new FST_CTX_INVALID_OPTION(`requestId.${name}`, 'takes the name of a header, or false')
    }
  }
  if (options.pattern !== undefined && !(options.pattern instanceof RegExp)) {
    throw new FST_CTX_INVALID_OPTION('requestId.pattern', 'takes a regular expression')
  }
  if (options.generate !== undefined && typeof options.generate !== 'function') {
    throw new FST_CTX_INVALID_OPTION('requestId.generate', 'takes a function')
  }
}

/** Whether a value may be a request id: visible ASCII of bounded length, safe in a header and on a log line, whatever a pattern allows. */
export function isSafeId (value: unknown): value is string {
  if (typeof value !== 'string' || value.length === 0 || value.length > MAX_LENGTH) return false
  // A regular expression would take more than all else that makes an id.
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i)
    if (code < 0x21 || code > 0x7e) return false
  }
  return true
}

function warnAboutGenerator (what: string, cause: unknown): void {
  warnOnce('FST_CTX_REQUEST_ID', what, `the generator of request ids ${what}: a random UUID is used instead, until it returns 1 to 128 visible ASCII characters`, shown(cause))
}

/** What was thrown, or what kind of value was returned: the value itself may come from a client. */
function shown (cause: unknown): string {
  if (cause instanceof Error) return String(cause.stack)
  return typeof cause === 'string' ? `a string of ${cause.length} characters` : `a value of type ${typeof cause}`
}
