import type { FastifyRequest } from 'fastify'
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { Present, Refused } from '../types.ts'
import type { Schema } from './schema.ts'

declare const type: unique symbol

/** The request as a seed sees it. Node joins a repeated header into one string, hence no `string[]`. */
export type SeedRequest = FastifyRequest<{ Headers: { readonly [name: string]: string | undefined } }>

/**
 * Gives a key its first value. Runs in onRequest, inside the scope, in the order in which the keys were declared: it
 * may read the keys before its own. `undefined` leaves the key unset; what it throws fails the request.
 */
export type Seed<T> = (request: SeedRequest) => T | Promise<T>

/** How a value is carried: as what, and how it is got back from that. */
export interface Packing<T> {
  /** What stands for the value: a JSON value. `undefined`: it is not carried. */
  readonly pack: (value: T) => unknown
  /** The value again, from what `pack` made or from what an attacker put there: check it. `undefined` leaves the key unset. */
  readonly unpack: (packed: any) => T | undefined | Promise<T | undefined>
}

/** Values that JSON does not hold, or gives back as another type. */
type NotJson = ((...args: any[]) => unknown) | Date | RegExp | bigint | symbol | ReadonlyMap<any, any> | ReadonlySet<any> | Promise<any>

/** What the option `carry` takes for a value, beside `{ pack, unpack }`. */
// No union of its own: the compiler would show the name of it in place of the text.
export type Carry<T> = 0 extends 1 & T ? boolean : [T] extends [NotJson] ? Refused<'JSON does not hold such a value: give carry { pack, unpack }'> : boolean

/** Where a value comes from and where it may go. The default is closed: never seeded, never logged, never carried. */
export interface KeyPolicy<T, S = T | undefined> {
  /**
   * Checks each value that a seed, `set`, `run`, `impersonate` or an envelope gives, and may change it. Any Standard Schema. One that
   * validates asynchronously is for seeds and envelopes alone.
   */
  readonly schema?: Schema<T | undefined>
  /** The first value of each request. */
  readonly seed?: Seed<S>
  /** `true`: log lines carry the value under the key's name. A function: they carry what it makes of the value. */
  readonly log?: boolean | ((value: T) => unknown)
  /** `true`: `ctx.dehydrate` carries the value, which must be a JSON value. With `pack` and `unpack`: what they make of it. */
  readonly carry?: Packing<T> | false | Carry<T>
  /** The name of the header that carries it to the origins of `propagate` that list the key, as `pack` makes it. */
  readonly header?: string
  /** `true`: once set, only `ctx.impersonate` may shadow it; `set` and `run` throw FST_CTX_LOCKED. Default `false`. */
  readonly locked?: boolean
  /**
   * `false`: the copies of `ctx.detach` and `ctx.after` leave the value out. For what belongs to the current work alone, as
   * a connection with an open transaction does: by the time the copy reads it, another request may have it. Default `true`.
   */
  readonly detach?: boolean
  /** The status code of the answer where a route requires the key and it is not set: 400 to 599. Default 400. */
  readonly missing?: number
}

/** A policy with a schema: its output is the type of the value. What the seed returns is checked, and may be anything. */
export interface SchemaPolicy<C extends Schema, S = unknown> extends Omit<KeyPolicy<CheckedValue<C>>, 'schema' | 'seed'> {
  /** Checks each value, and may change it: any Standard Schema. */
  readonly schema: C
  /** The first value of each request, before it is checked. */
  readonly seed?: Seed<S>
}

/** What a schema makes of a value that it takes. */
export type CheckedValue<C extends Schema> = Exclude<StandardSchemaV1.InferOutput<C>, undefined>

/** A declared key: the type of its value `T`, and whether each request has one, `S`. */
export interface Key<out T, out S = T | undefined> {
  /** @hidden */
  readonly [type]?: { readonly value: T, readonly held: S }
}

/** The names that no key can have: the members of `request.ctx` and of every object. A test compares them with what throws. */
export type ReservedName =
  | 'get' | 'require' | 'has' | 'set' | 'run' | 'bind' | 'bindIterable' | 'snapshot' | 'bindEmitter' | 'log' | 'mixin' | 'plugin' | 'configure' | 'entries' | 'exit' | 'fields' | 'impersonate' | 'actor'
  | 'cache' | 'memo' | 'onEnd' | 'detach' | 'after' | 'signal' | 'deadline' | 'explain' | 'policy' | 'inFlight' | 'dehydrate' | 'hydrate'
  | 'trace' | 'headersFor' | 'interceptor' | 'requestId' | 'constructor' | 'toString' | 'valueOf' | 'hasOwnProperty' | ''

/** Refuses, in `createContext`, the names that no key can have. */
// Names that are known only when the program runs are checked then.
export type FreeNames<K> = string extends keyof K ? unknown : { readonly [N in keyof K & ReservedName]: Refused<'request.ctx has a member of this name: choose another name for the key'> }

/** The keys given to `createContext`. */
export interface Keys { readonly [name: string]: Key<unknown, unknown> }

/** What the keys of `createContext` declare, by name: the values of that context. */
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
// Not for what may be undefined: from a seed that may, the second form infers the value without it.
export function key<T extends {} | null> (policy: KeyPolicy<T, T> & { readonly seed: Seed<T> }): Key<T, T>
export function key<T> (policy?: KeyPolicy<T>): Key<T>
export function key<T> (policy: KeyPolicy<T> = {}): Key<T> {
  // A key is its policy; only the types know more.
  return policy as Key<T>
}
