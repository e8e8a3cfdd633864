/**
 * The types of values, to augment where the name `ctx` is taken: `declare module 'fastify-ctx/types'`.
 *
 * @module fastify-ctx/types
 */
import type { RequestContextData } from '@fastify/request-context'

declare const present: unique symbol

/**
 * Marks a value that every request has: `request.ctx.<key>` is then `T`, not `T | undefined`.
 * `ValuesOf` sets it by itself for a key whose seed cannot return `undefined`; write it by hand only for a key of the
 * ready-made context whose seed always returns a value.
 *
 * @example
 * declare module 'fastify-ctx' {
 *   interface ContextValues { locale: Present<string> }
 * }
 */
export interface Present<T> {
  /** @hidden */
  readonly [present]: T
}

/**
 * The names and types of what the ready-made `ctx` and `request.ctx` hold: the one interface to augment.
 * Types declared for `@fastify/request-context` (`RequestContextData`) hold here too, but for that of `requestId`.
 *
 * @example
 * declare module 'fastify-ctx' {
 *   interface ContextValues { tenant: string, user: User }
 * }
 */
export interface ContextValues extends Omit<RequestContextData, 'requestId'> {
  /** The id of the request or job, the same as `request.id`: 1 to 128 visible ASCII characters. */
  requestId: Present<string>
}

declare const own: unique symbol

/** Marks the values of a context of your own: `request.ctx` has these keys, and no others that were declared elsewhere. */
export interface Own<V> {
  /** @hidden */
  readonly [own]: V
}

/** What `request.ctx` holds: the values of your own context where `ContextValues` extends them; else all of `ContextValues`. */
export type RequestValues = ContextValues extends Own<infer V> ? V : ContextValues

/** The names of the keys of a context. */
// In two parts, so that the compiler lists the names where one is wrong: in one it says `keyof ContextValues`.
export type KeyOf<V> = [V] extends [never] ? never : Exclude<Extract<keyof V, string>, 'requestId'> | Extract<keyof V, 'requestId'>

/** The type of one value, or of each of several, whether or not it is marked as `Present`. */
export type ValueOf<V, K extends keyof V> = SetValue<V[K]>

type SetValue<T> = T extends Present<infer P> ? P : Exclude<T, undefined>

/** The type that `request.ctx.<key>` has: with `undefined`, unless each request has the value. */
export type HeldValue<T> = T extends Present<infer P> ? P : T | undefined

/** One of the keys that have a value, with its value. */
export type Entry<V> = { [K in KeyOf<V>]: [key: K, value: ValueOf<V, K>] }[KeyOf<V>]

declare const refused: unique symbol

/** What no value is of: where it stands in an error of the compiler, `Why` says what is wrong. */
export interface Refused<Why extends string> {
  /** @hidden */
  readonly [refused]: Why
}

/** The keys that may be written: all but the request id, which is fixed when its scope opens. */
export type WritableKeyOf<V> = Exclude<KeyOf<V>, 'requestId'>

declare const one: unique symbol

/** No string of a program is one. The compiler shows it, with the right names, where a name is wrong. */
export interface OneOf<Name extends string> {
  /** @hidden */
  readonly [one]: Name
}

/** What `config.context.require` of a route takes: names of keys. */
// Fastify infers a type of its own from the literal, and its intersection with the names alone is `never`, which says nothing.
export type RequiredKeys<V> = ReadonlyArray<KeyOf<V> | (string & OneOf<KeyOf<V>>)>

/** What `ctx.run` takes: some of the values. `requestId` is taken only where the scope starts a root. */
export type Values<V> = { readonly [K in KeyOf<V>]?: ValueOf<V, K> | undefined }

/** What `ctx.impersonate` takes: some of the values. The request stays the same. */
export type ImpersonatedValues<V> = { readonly [K in WritableKeyOf<V>]?: ValueOf<V, K> | undefined } & {
  /** Stays what it is. */
  readonly requestId?: Refused<'an impersonation keeps the request id: leave it out'>
}
