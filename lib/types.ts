/**
 * The types of values, for augmenting where the name `ctx` is taken: `declare module 'fastify-ctx/types'`.
 *
 * @module fastify-ctx/types
 */
import type { RequestContextData } from '@fastify/request-context'

declare const present: unique symbol

/**
 * Marks a value that every request has: `request.ctx.<key>` is then `T`, not `T | undefined`.
 * `ValuesOf` sets it for a key whose seed cannot return `undefined`. Write it yourself only for a key of the
 * ready-made context whose seed always returns a value.
 *
 * @example
 * declare module 'fastify-ctx' {
 * interface ContextValues { locale: Present<string> }
 * }
 */
export interface Present<T> {
  /** @hidden */
  readonly [present]: T
}

/**
 * The names and types of the values of the ready-made `ctx` and of `request.ctx`: the one interface to augment.
 * Types declared for `@fastify/request-context` (`RequestContextData`) apply here too, except `requestId`.
 *
 * @example
 * declare module 'fastify-ctx' {
 * interface ContextValues { tenant: string, user: User }
 * }
 */
export interface ContextValues extends Omit<RequestContextData, 'requestId'> {
  /** The id of the request or job, the same as `request.id`: 1 to 128 visible ASCII characters. */
  requestId: Present<string>
}

declare const own: unique symbol

/** Marks the values of a custom context: `request.ctx` has these keys, and no others that were declared elsewhere. */
export interface Own<V> {
  /** @hidden */
  readonly [own]: V
}

/** The values of `request.ctx`: those of a custom context if `ContextValues` extends them; else all of `ContextValues`. */
export type RequestValues = ContextValues extends Own<infer V> ? V : ContextValues

/** The names of the keys of a context. */
// In two parts, so that the compiler lists the names for a wrong one. In one part it shows `keyof ContextValues`.
export type KeyOf<V> = [V] extends [never] ? never : Exclude<Extract<keyof V, string>, 'requestId'> | Extract<keyof V, 'requestId'>

/** The type of one value, or of each of several, with or without the mark `Present`. */
export type ValueOf<V, K extends keyof V> = SetValue<V[K]>

type SetValue<T> = T extends Present<infer P> ? P : Exclude<T, undefined>

/** The type of `request.ctx.<key>`: with `undefined`, unless each request has the value. */
export type HeldValue<T> = T extends Present<infer P> ? P : T | undefined

/** One of the keys that have a value, with its value. */
export type Entry<V> = { [K in KeyOf<V>]: [key: K, value: ValueOf<V, K>] }[KeyOf<V>]

declare const refused: unique symbol

/** A type without values. In a compiler error, `Why` says what is wrong. */
export interface Refused<Why extends string> {
  /** @hidden */
  readonly [refused]: Why
}

/** The keys that may be written: all except the request id, which is fixed when its scope opens. */
export type WritableKeyOf<V> = Exclude<KeyOf<V>, 'requestId'>

declare const one: unique symbol

/** A type that matches no string of a program. The compiler shows it, with the right names, for a wrong name. */
export interface OneOf<Name extends string> {
  /** @hidden */
  readonly [one]: Name
}

/** The type of a route's `config.context.require`: names of keys. */
// Fastify infers its own type from the literal. Its intersection with only the names is `never`, which explains nothing.
export type RequiredKeys<V> = ReadonlyArray<KeyOf<V> | (string & OneOf<KeyOf<V>>)>

/** The values of `ctx.run`: some of the values. `requestId` is accepted only if the scope starts a root. */
export type Values<V> = { readonly [K in KeyOf<V>]?: ValueOf<V, K> | undefined }

/** The values of `ctx.impersonate`: some of the values. The request stays the same. */
export type ImpersonatedValues<V> = { readonly [K in WritableKeyOf<V>]?: ValueOf<V, K> | undefined } & {
  /** Must not be given. */
  readonly requestId?: Refused<'an impersonation keeps the request id: leave it out'>
}
