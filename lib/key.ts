import type { FastifyRequest } from 'fastify'
import { FST_CTX_INVALID_KEY, FST_CTX_INVALID_OPTION } from './errors.ts'
import type { Present } from './types.ts'

declare const type: unique symbol

/** The request as a seed sees it. Node joins a repeated header into one string, hence no `string[]`. */
export type SeedRequest = FastifyRequest<{ Headers: { readonly [name: string]: string | undefined } }>

/**
 * Gives a key its first value. Runs in onRequest, inside the scope, in the order in which the keys were declared: it
 * may read the keys before its own. `undefined` leaves the key unset; what it throws fails the request.
 */
export type Seed<T> = (request: SeedRequest) => T | Promise<T>

/** Where a value comes from and where it may go. The default is closed: never seeded, never logged. */
export interface KeyPolicy<T, S = T | undefined> {
  /** The first value of each request. */
  readonly seed?: Seed<S>
  /** `true`: log lines carry the value under the key's name. A function: they carry what it makes of the value. */
  readonly log?: boolean | ((value: T) => unknown)
  /** `true`: once set, only `ctx.impersonate` may shadow it; `set` and `run` throw FST_CTX_LOCKED. Default `false`. */
  readonly locked?: boolean
  /** The status code of the answer where a route requires the key and it is not set: 400 to 599. Default 400. */
  readonly missing?: number
}

/** A declared key: the type of its value `T`, and whether each request has one, `S`. */
export interface Key<out T, out S = T | undefined> {
  readonly [type]?: { readonly value: T, readonly held: S }
}

/** The keys given to `createContext`. */
export interface Keys { readonly [name: string]: Key<unknown, unknown> }

/** What the keys of `createContext` declare, by name: the values of that context. */
export type ValuesOfKeys<K extends Keys> =
  & { readonly requestId: Present<string> }
  & { [N in keyof K]: K[N] extends Key<infer T, infer S> ? (undefined extends S ? T : Present<T>) : never }

/**
 * Declares a key of a context: the type of its value and its policy.
 *
 * @example
 * const ctx = createContext({
 *   tenant: key<string>({ seed: (request) => request.headers['x-tenant-id'], log: true }),
 *   user: key<User>({ log: (user) => user.id }),
 *   token: key<string>()
 * })
 */
// Not for what may be undefined: from a seed that may, the second form infers the value without it.
export function key<T extends {} | null> (policy: KeyPolicy<T, T> & { readonly seed: Seed<T> }): Key<T, T>
export function key<T> (policy?: KeyPolicy<T>): Key<T>
export function key<T> (policy: KeyPolicy<T> = {}): Key<T> {
  // A key is its policy; only the types know more.
  return policy as Key<T>
}

/** The keys of a context as its parts read them: checked once, walked without allocation. */
export interface Policy {
  readonly names: ReadonlySet<string>
  readonly seeds: ReadonlyArray<{ readonly name: string, readonly seed: Seed<unknown> }>
  readonly locked: ReadonlySet<string>
  readonly missing: ReadonlyMap<string, number>
  readonly logged: ReadonlyArray<{ readonly name: string, readonly log: true | ((value: unknown) => unknown) }>
}

const POLICY_OPTIONS: ReadonlySet<string> = new Set(['seed', 'log', 'locked', 'missing'])

/** The members of `request.ctx`, beside which each key has its accessor, and those that later versions will add. */
const MEMBERS: ReadonlySet<string> = new Set([
  'requestId', 'get', 'require', 'has', 'set', 'run', 'bind', 'snapshot', 'bindEmitter', 'log', 'mixin', 'plugin',
  'impersonate', 'actor', 'cache', 'memo', 'onEnd', 'detach', 'after', 'signal', 'deadline', 'explain', 'policy',
  'dehydrate', 'hydrate', 'trace'
])

/** What pino, Fastify and an impersonation write under names of their own: a field of the same name would stand twice on a line. */
const LINE_NAMES: ReadonlySet<string> = new Set([
  'actor', 'reason', 'level', 'time', 'pid', 'hostname', 'msg', 'err', 'req', 'res', 'responseTime', 'reqId', 'serializers', 'formatters', 'customLevels'
])

/**
 * Checks the keys of a context. A function is short for `{ seed }`.
 *
 * @throws FST_CTX_INVALID_KEY a name that cannot be a key
 * @throws FST_CTX_INVALID_OPTION a policy of the wrong type, or with an option that does not exist
 */
export function readKeys (keys: Readonly<Record<string, unknown>>): Policy {
  if (typeof keys !== 'object' || keys === null) throw new FST_CTX_INVALID_OPTION('keys', 'takes an object')
  const prototype: unknown = Object.getPrototypeOf(keys)
  if (prototype !== Object.prototype && prototype !== null) throw new FST_CTX_INVALID_KEY('__proto__', 'keys takes a plain object')
  const names = new Set<string>()
  const seeds: Array<Policy['seeds'][number]> = []
  const logged: Array<Policy['logged'][number]> = []
  const locked = new Set<string>()
  const missing = new Map<string, number>()
  for (const name of Object.keys(keys)) {
    checkName(name)
    const { seed, log, locked: lock, missing: status } = readPolicy(name, keys[name])
    names.add(name)
    if (seed !== undefined) seeds.push({ name, seed })
    if (lock === true) locked.add(name)
    if (status !== undefined) missing.set(name, status)
    if (log !== undefined && log !== false) {
      if (LINE_NAMES.has(name)) throw new FST_CTX_INVALID_KEY(name, 'log lines have a field of this name already')
      // As it stands in JSON is how it is looked for among what a logger has bound.
      if (JSON.stringify(name) !== `"${name}"`) throw new FST_CTX_INVALID_KEY(name, 'as the name of a field it would need escapes')
      logged.push({ name, log })
    }
  }
  return { names, seeds, locked, missing, logged }
}

/**
 * Refuses a name that cannot be a key.
 *
 * @throws FST_CTX_INVALID_KEY
 */
export function checkName (name: string): void {
  if (name === '') throw new FST_CTX_INVALID_KEY(name, 'it is empty')
  if (name in Object.prototype) throw new FST_CTX_INVALID_KEY(name, 'every object has a property of this name')
  if (MEMBERS.has(name)) throw new FST_CTX_INVALID_KEY(name, 'request.ctx has a member of this name')
}

function readPolicy (name: string, given: unknown): KeyPolicy<unknown> {
  if (typeof given === 'function') return { seed: given as Seed<unknown> }
  if (typeof given !== 'object' || given === null) {
    throw new FST_CTX_INVALID_OPTION(`keys.${name}`, 'takes a seed function or a policy')
  }
  const { seed, log, locked, missing } = given as KeyPolicy<unknown>
  for (const option of Object.keys(given)) {
    if (!POLICY_OPTIONS.has(option)) throw new FST_CTX_INVALID_OPTION(`keys.${name}.${option}`, 'does not exist')
  }
  if (seed !== undefined && typeof seed !== 'function') {
    throw new FST_CTX_INVALID_OPTION(`keys.${name}.seed`, 'takes a function')
  }
  if (log !== undefined && typeof log !== 'boolean' && typeof log !== 'function') {
    throw new FST_CTX_INVALID_OPTION(`keys.${name}.log`, 'takes a boolean or a function')
  }
  if (locked !== undefined && typeof locked !== 'boolean') throw new FST_CTX_INVALID_OPTION(`keys.${name}.locked`, 'takes a boolean')
  if (missing !== undefined && !(Number.isInteger(missing) && missing >= 400 && missing <= 599)) {
    throw new FST_CTX_INVALID_OPTION(`keys.${name}.missing`, 'takes a status code from 400 to 599')
  }
  return given
}
