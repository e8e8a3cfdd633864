import { FST_CTX_INVALID_KEY, FST_CTX_INVALID_OPTION } from '../common/errors.ts'
import { ownOptions } from '../common/own-options.ts'
import type { KeyPolicy, Packing, Seed } from './key.ts'
import { checkedSeed, isSchema, type Schema } from './schema.ts'

/** The checked keys of a context, in lists that can be iterated without allocation. */
export interface Policy {
  readonly names: ReadonlySet<string>
  readonly seeds: ReadonlyArray<{ readonly name: string, readonly seed: Seed<unknown> }>
  readonly locked: ReadonlySet<string>
  readonly missing: ReadonlyMap<string, number>
  readonly logged: ReadonlyArray<{ readonly name: string, readonly log: true | ((value: unknown) => unknown) }>
  /** The keys that `dehydrate` carries, with their packing, if any. */
  readonly serializedKeys: ReadonlyMap<string, Packing<unknown> | undefined>
  /** The keys that may leave by a request header, with its name. */
  readonly headers: ReadonlyMap<string, string>
  /** The keys that copies for detached work leave out. */
  readonly undetached: ReadonlySet<string>
  /** The schemas of values. */
  readonly schemas: ReadonlyMap<string, Schema>
}

/** The policy of a context without keys. */
export const NO_KEYS: Policy = { names: new Set(), seeds: [], locked: new Set(), missing: new Map(), logged: [], serializedKeys: new Map(), headers: new Map(), undetached: new Set(), schemas: new Map() }

/** The default status code of the response if a required key is not set. */
export const DEFAULT_MISSING_STATUS = 400

const OPTIONS: ReadonlySet<string> = new Set(['schema', 'seed', 'log', 'carry', 'header', 'locked', 'detach', 'missing'])

/** The members of `request.ctx`, which also has an accessor for each key. */
const MEMBERS: ReadonlySet<string> = new Set([
  'requestId', 'get', 'require', 'has', 'set', 'run', 'bind', 'snapshot', 'bindEmitter', 'bindIterable', 'log', 'mixin', 'plugin', 'configure', 'entries', 'exit', 'fields', 'root', 'messageId',
  'impersonate', 'actor', 'cache', 'memo', 'onEnd', 'detach', 'after', 'signal', 'deadline', 'explain', 'policy', 'inFlight',
  'dehydrate', 'hydrate', 'trace', 'headersFor', 'interceptor'
])

/** Log field names that pino, Fastify, a trace and an impersonation write. A key of the same name would be on the line twice. */
const LINE_NAMES: ReadonlySet<string> = new Set([
  'actor', 'reason', 'trace_id', 'span_id', 'trace_flags', 'level', 'time', 'pid', 'hostname', 'msg', 'err', 'req', 'res',
  'responseTime', 'reqId', 'serializers', 'formatters', 'customLevels'
])

/** A header name as defined by RFC 9110. */
export const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

/** Headers that frame a message or identify its sender, or that other code of ours writes: the trace, and the request id. */
const RESERVED_HEADER = /^(?:host|connection|keep-alive|content-length|transfer-encoding|te|trailer|upgrade|expect|proxy-.*|traceparent|tracestate|x-request-id)$/

/**
 * Checks the keys of a context. A function is short for `{ seed }`.
 *
 * @throws FST_CTX_INVALID_KEY a name that cannot be a key
 * @throws FST_CTX_INVALID_OPTION a policy of the wrong type, or with an option that does not exist
 */
export function readKeys (keys: Readonly<Record<string, unknown>>): Policy {
  if (typeof keys !== 'object' || keys === null) throw new FST_CTX_INVALID_OPTION('keys', 'takes an object of keys by name')
  const prototype: unknown = Object.getPrototypeOf(keys)
  if (prototype !== Object.prototype && prototype !== null) throw new FST_CTX_INVALID_KEY('__proto__', 'keys takes a plain object, not an array or an instance of a class')
  const names = new Set<string>()
  const seeds: Array<Policy['seeds'][number]> = []
  const logged: Array<Policy['logged'][number]> = []
  const locked = new Set<string>()
  const missing = new Map<string, number>()
  const serializedKeys = new Map<string, Packing<unknown> | undefined>()
  const headers = new Map<string, string>()
  const undetached = new Set<string>()
  const schemas = new Map<string, Schema>()
  for (const name of Object.keys(keys)) {
    checkName(name)
    const { schema, seed, log, carry, header, locked: lock, detach, missing: status } = readPolicy(name, keys[name])
    names.add(name)
    if (schema !== undefined) schemas.set(name, schema)
    if (seed !== undefined) seeds.push({ name, seed: schema === undefined ? seed : checkedSeed(name, seed, schema) })
    if (lock === true) locked.add(name)
    if (detach === false) undetached.add(name)
    if (status !== undefined) missing.set(name, status)
    if (carry !== undefined && carry !== false) serializedKeys.set(name, carry === true ? undefined : carry)
    if (header !== undefined) headers.set(name, freeHeader(name, header.toLowerCase(), headers))
    if (log !== undefined && log !== false) {
      checkField(name)
      logged.push({ name, log })
    }
  }
  return { names, seeds, locked, missing, logged, serializedKeys, headers, undetached, schemas }
}

/**
 * Refuses an invalid key name.
 *
 * @throws FST_CTX_INVALID_KEY
 */
export function checkName (name: string): void {
  if (name === '') throw new FST_CTX_INVALID_KEY(name, 'it is empty')
  if (name in Object.prototype) throw new FST_CTX_INVALID_KEY(name, 'every object has a property of this name')
  if (MEMBERS.has(name)) throw new FST_CTX_INVALID_KEY(name, 'request.ctx has a member of this name')
}

function freeHeader (name: string, header: string, taken: ReadonlyMap<string, string>): string {
  const other = [...taken.keys()].find((key) => taken.get(key) === header)
  if (other !== undefined) throw new FST_CTX_INVALID_OPTION(`keys.${name}.header`, `is already the header of key '${other}': give each key its own header`)
  return header
}

/**
 * Refuses a request id header that is also the header of a key.
 *
 * @throws FST_CTX_INVALID_OPTION
 */
export function checkIdHeader (header: string, { headers }: Policy): void {
  for (const [name, taken] of headers) {
    if (taken === header) throw new FST_CTX_INVALID_OPTION('requestId.header', `is already the header of key '${name}': choose another for one of them`)
  }
}

function checkField (name: string): void {
  if (LINE_NAMES.has(name)) throw new FST_CTX_INVALID_KEY(name, 'log lines already have a field of this name')
  // Bound fields of a logger are searched for the name as JSON writes it.
  if (JSON.stringify(name) !== `"${name}"`) throw new FST_CTX_INVALID_KEY(name, 'as a field name it would need escapes')
}

function readPolicy (name: string, given: unknown): KeyPolicy<unknown> {
  if (typeof given === 'function') return { seed: given as Seed<unknown> }
  if (typeof given !== 'object' || given === null) {
    throw new FST_CTX_INVALID_OPTION(`keys.${name}`, 'takes a seed, which is a function of the request, or a policy, which is an object')
  }
  const policy = ownOptions(given as KeyPolicy<unknown>)
  const { schema, seed, log, carry, header, locked, detach, missing } = policy
  for (const option of Object.keys(given)) {
    if (!OPTIONS.has(option)) throw new FST_CTX_INVALID_OPTION(`keys.${name}.${option}`, `does not exist: the policy of a key takes ${[...OPTIONS].join(', ')}`)
  }
  if (schema !== undefined && !isSchema(schema)) throw new FST_CTX_INVALID_OPTION(`keys.${name}.schema`, 'takes a Standard Schema, as created by zod, valibot and arktype')
  if (seed !== undefined && typeof seed !== 'function') {
    throw new FST_CTX_INVALID_OPTION(`keys.${name}.seed`, 'takes a function of the request')
  }
  if (log !== undefined && typeof log !== 'boolean' && typeof log !== 'function') {
    throw new FST_CTX_INVALID_OPTION(`keys.${name}.log`, 'takes a boolean, or a function of the value')
  }
  if (carry !== undefined && typeof carry !== 'boolean' && !isPacking(carry)) {
    throw new FST_CTX_INVALID_OPTION(`keys.${name}.carry`, 'takes a boolean, or an object of two functions, pack and unpack')
  }
  if (header !== undefined && !(typeof header === 'string' && HEADER_NAME.test(header) && !RESERVED_HEADER.test(header.toLowerCase()))) {
    throw new FST_CTX_INVALID_OPTION(`keys.${name}.header`, 'takes the name of a free header, such as x-tenant-id: not one that HTTP itself, traces or the request id use')
  }
  if (locked !== undefined && typeof locked !== 'boolean') throw new FST_CTX_INVALID_OPTION(`keys.${name}.locked`, 'takes a boolean')
  if (detach !== undefined && typeof detach !== 'boolean') throw new FST_CTX_INVALID_OPTION(`keys.${name}.detach`, 'takes a boolean')
  if (missing !== undefined && !(Number.isInteger(missing) && missing >= 400 && missing <= 599)) {
    throw new FST_CTX_INVALID_OPTION(`keys.${name}.missing`, 'takes a status code from 400 to 599')
  }
  return policy
}

function isPacking (carry: unknown): carry is Packing<unknown> {
  const { pack, unpack, ...rest } = ownOptions(carry ?? {}) as Partial<Packing<unknown>>
  return typeof pack === 'function' && typeof unpack === 'function' && Object.keys(rest).length === 0
}
