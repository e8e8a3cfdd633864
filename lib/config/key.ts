import type { FastifyRequest } from 'fastify'
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { Present, Refused } from '../types.ts'
import type { Schema } from './schema.ts'

declare const type: unique symbol

/** The request as a seed sees it. Node joins repeated headers into one string, so there is no `string[]`. */
export type SeedRequest = FastifyRequest<{ Headers: { readonly [name: string]: string | undefined } }>

/**
 * Returns the first value of a key. Runs in onRequest, inside the scope, in the order in which the keys were declared, so it
 * may read earlier keys. `undefined` leaves the key unset. If it throws, the request fails.
 */
export type Seed<T> = (request: SeedRequest) => T | Promise<T>

/** How a value is carried, and restored. */
export interface Packing<T> {
  /** Returns a JSON value that represents the value. `undefined`: it is not carried. */
  readonly pack: (value: T) => unknown
  /** Returns the value from the result of `pack`. Check the input, because an attacker may have written it. `undefined` leaves the key unset. */
  readonly unpack: (packed: any) => T | undefined | Promise<T | undefined>
}

/** Values that JSON cannot represent, or restores as another type. */
type NotJson = ((...args: any[]) => unknown) | Date | RegExp | bigint | symbol | ReadonlyMap<any, any> | ReadonlySet<any> | Promise<any>

/** The type of the option `carry` for a value, besides `{ pack, unpack }`. */
// Do not name this union: the compiler would show the name instead of the text.
export type Carry<T> = 0 extends 1 & T ? boolean : [T] extends [NotJson] ? Refused<'JSON cannot represent such a value: give carry { pack, unpack }'> : boolean

/** Where a value comes from and where it may go. The default is closed: never seeded, never logged, never carried. */
export interface KeyPolicy<T, S = T | undefined> {
  /**
   * Checks each value from a seed, `set`, `run`, `impersonate` or an envelope, and may change it. Any Standard Schema. A schema that
   * validates asynchronously works only for seeds and envelopes.
   */
  readonly schema?: Schema<T | undefined>
  /** Returns the first value of each request. */
  readonly seed?: Seed<S>
  /** `true`: log lines have the value under the key's name. A function: they have its result. */
  readonly log?: boolean | ((value: T) => unknown)
  /** `true`: `ctx.dehydrate` carries the value, which must be a JSON value. With `pack` and `unpack` it carries the packed value. */
  readonly carry?: Packing<T> | false | Carry<T>
  /** The name of the header that carries the value, packed if there is a `pack`, to the origins of `propagate` that list the key. */
  readonly header?: string
  /** `true`: once set, only `ctx.impersonate` may shadow it; `set` and `run` throw FST_CTX_LOCKED. Default `false`. */
  readonly locked?: boolean
  /**
   * `false`: the copies of `ctx.detach` and `ctx.after` leave the value out. Use it for values that only the current work may use, such as
   * a connection with an open transaction: when the copy reads it, another request may have it. Default `true`.
   */
  readonly detach?: boolean
  /** The status code of the response if a route requires the key and it is not set: 400 to 599. Default 400. */
  readonly missing?: number
}

/** A policy with a schema. The output of the schema is the type of the value. The seed may return anything, because its value is checked. */
export interface SchemaPolicy<C extends Schema, S = unknown> extends Omit<KeyPolicy<CheckedValue<C>>, 'schema' | 'seed'> {
  /** Checks each value, and may change it. Any Standard Schema. */
  readonly schema: C
  /** Returns the first value of each request, before it is checked. */
  readonly seed?: Seed<S>
}

/** The output of a schema for a value. */
export type CheckedValue<C extends Schema> = Exclude<StandardSchemaV1.InferOutput<C>, undefined>

/** A declared key: the type of its value `T`, and whether each request has one, `S`. */
export interface Key<out T, out S = T | undefined> {
  /** @hidden */
  readonly [type]?: { readonly value: T, readonly held: S }
}

/** The names that no key can have: the members of `request.ctx` and of every object. A test compares them with the names that throw. */
export type ReservedName =
  | 'get' | 'require' | 'has' | 'set' | 'run' | 'bind' | 'bindIterable' | 'snapshot' | 'bindEmitter' | 'log' | 'mixin' | 'plugin' | 'configure' | 'entries' | 'exit' | 'fields' | 'root' | 'messageId' | 'impersonate' | 'actor'
  | 'cache' | 'memo' | 'onEnd' | 'detach' | 'after' | 'signal' | 'deadline' | 'explain' | 'policy' | 'inFlight' | 'dehydrate' | 'hydrate'
  | 'trace' | 'headersFor' | 'interceptor' | 'requestId' | 'constructor' | 'toString' | 'valueOf' | 'hasOwnProperty' | ''

/** Refuses in `createContext` the names that no key can have. */
// Names that are known only at run time are checked then.
export type FreeNames<K> = string extends keyof K ? unknown : { readonly [N in keyof K & ReservedName]: Refused<'request.ctx has a member of this name: choose another name for the key'> }

/** The keys of `createContext`. */
export interface Keys { readonly [name: string]: Key<unknown, unknown> }

/** The values of a context by name, from the keys of `createContext`. */
export type ValuesOfKeys<K extends Keys> =
  & {
    /** The id of the request or job. */
    readonly requestId: Present<string>
  }
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
export function key<C extends Schema> (policy: SchemaPolicy<C, {} | null> & { readonly seed: Seed<{} | null> }): Key<CheckedValue<C>, StandardSchemaV1.InferOutput<C>>
export function key<C extends Schema> (policy: SchemaPolicy<C>): Key<CheckedValue<C>>
// Not for values that may be undefined: the second overload infers their type without it.
export function key<T extends {} | null> (policy: KeyPolicy<T, T> & { readonly seed: Seed<T> }): Key<T, T>
export function key<T> (policy?: KeyPolicy<T>): Key<T>
export function key<T> (policy: KeyPolicy<T> = {}): Key<T> {
  // At run time a key is its policy. The rest is types.
  return policy as Key<T>
}
