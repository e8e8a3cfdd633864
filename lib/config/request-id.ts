import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Http2ServerRequest } from 'node:http2'
import { FST_CTX_INVALID_OPTION } from '../common/errors.ts'
import { HEADER_NAME } from './key-policies.ts'
import { warnOnce } from '../common/warnings.ts'

/** The source of the request id, and the response header that returns it. */
export interface RequestIdOptions {
  /** The request header that may contain an id, in lower case; `false`: none is read. Default `x-request-id`. */
  readonly header?: string | false
  /** The pattern of ids from outside, which must also be 1 to 128 visible ASCII characters. Default `^[\w.:-]{1,128}$`. */
  readonly pattern?: RegExp
  /** Generates an id if none was accepted. Default: Fastify's `genReqId` option if one was given, else a random UUID. */
  readonly generate?: (raw: IncomingMessage | Http2ServerRequest) => string
  /** The response header with the id; `false`: none. Default `x-request-id`. */
  readonly responseHeader?: string | false
}

/** Accepts or generates the id of a request. Fastify calls it as its `genReqId`. Never throws. */
export type RequestIds = (raw: IncomingMessage | Http2ServerRequest) => string

/** The default header of request ids, in requests and responses. */
export const DEFAULT_HEADER = 'x-request-id'
const DEFAULT_PATTERN = /^[\w.:-]{1,128}$/
const OPTIONS: ReadonlySet<string> = new Set(['header', 'pattern', 'generate', 'responseHeader'])

/** The maximum length of a request id. */
const MAX_LENGTH = 128

/**
 * Checks the options, and returns the function that accepts or generates ids.
 *
 * @param known the id of a request that already has one, because `app.routing()` routes it again
 * @throws FST_CTX_INVALID_OPTION
 */
export function requestIds (options: RequestIdOptions, inherited: RequestIds | undefined, known: (raw: object) => string | undefined): RequestIds {
  checkOptions(options)
  const header = options.header === false ? undefined : (options.header ?? DEFAULT_HEADER).toLowerCase()
  const pattern = idPattern(options)
  const generate = options.generate ?? inherited ?? randomUUID as () => string
  // A generator set before ours may copy a header, so its ids are checked like one.
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
 * The same for a generator set after the plugin. It generates all ids, and they are checked.
 *
 * @param known the id of a request that already has one
 */
export function checkedIds (generate: RequestIds, known: (raw: object) => string | undefined): RequestIds {
  if (ours.has(generate)) return generate
  return function checkRequestId (raw) {
    return known(raw) ?? madeBy(generate, raw)
  }
}

/** The id of a generator, or a new one if it is not safe and allowed. */
function madeBy (generate: RequestIds, raw: Parameters<RequestIds>[0], allowed?: RegExp): string {
  try {
    const made = generate(raw)
    if (isSafeId(made) && allowed?.test(made) !== false) return made
    warnAboutGenerator('returned an unsafe id', made)
  } catch (error) {
    // Fastify calls this before anything can answer the request, so a throw would end the process.
    warnAboutGenerator('threw', error)
  }
  return randomUUID()
}

/** The pattern of ids from outside. */
export function idPattern ({ pattern }: RequestIdOptions): RegExp {
  // Without the flags g and y a pattern does not remember its last match.
  return pattern === undefined ? DEFAULT_PATTERN : new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, ''))
}

/** The generators of this module. A minifier would change their names. */
const ours = new WeakSet<RequestIds>()

/** Whether a generator checks its ids already. */
export function isChecked (generate: RequestIds): boolean {
  return ours.has(generate)
}

/** Whether a generator looks like Fastify's counter, whose ids are unique in one process only. A minifier keeps texts and method names. */
export function isCounter (generate: RequestIds): boolean {
  return generate.length === 0 && /req-.*\.toString\(36\)/s.test(String(generate))
}

/** The id of a request whose generator was set after the plugin, or a new one if it is unsafe in a header. */
export function checkedId (id: unknown): string {
  if (isSafeId(id)) return id
  warnAboutGenerator('returned an unsafe id', id)
  return randomUUID()
}

/** The response header with the id, or `undefined` if there is none. */
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

/** Whether a value may be a request id: visible ASCII of limited length, which is safe in a header and on a log line for any pattern. */
export function isSafeId (value: unknown): value is string {
  if (typeof value !== 'string' || value.length === 0 || value.length > MAX_LENGTH) return false
  // A regular expression would take longer than everything else about an id.
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i)
    if (code < 0x21 || code > 0x7e) return false
  }
  return true
}

function warnAboutGenerator (what: string, cause: unknown): void {
  warnOnce('FST_CTX_REQUEST_ID', what, `the generator of request ids ${what}: a random UUID is used instead, until it returns 1 to 128 visible ASCII characters`, shown(cause))
}

/** What was thrown, or the type of what was returned. The value itself may come from a client. */
function shown (cause: unknown): string {
  if (cause instanceof Error) return String(cause.stack)
  return typeof cause === 'string' ? `a string of ${cause.length} characters` : `a value of type ${typeof cause}`
}
