import { FST_CTX_ENDED, FST_CTX_NO_SCOPE, FST_CTX_NOT_SET, FST_CTX_REQUEST_ID_FIXED } from '../common/errors.ts'
import type { EntryPoint } from '../common/warnings.ts'
import type { ContextDefinition } from '../lifecycle/context-definition.ts'
import { checkLock, writeChecked } from '../lifecycle/run.ts'
import { messageIdOf, scopeOf } from '../scope/lookup.ts'
import { noteEarly, noteLate, warnCopied } from '../scope/misuse-warnings.ts'
import { scopeOfStore, type Scope, type Store } from '../scope/scope.ts'
import { noteOrigin } from './explain.ts'

/** The innermost scope of a context in a store. In development a copied store, which is not a scope, emits a warning. */
export function scopeIn (definition: ContextDefinition, store: Store | undefined): Scope | undefined {
  const scope = scopeOf(definition, scopeOfStore(store))
  if (scope === undefined && definition.registration.settings.diagnostics) warnCopied([])
  return scope
}

/**
 * The scope that a call needs.
 *
 * @throws FST_CTX_NO_SCOPE
 * @throws FST_CTX_ENDED
 */
export function requireScope (definition: ContextDefinition, store: Store | undefined, call: string): Scope {
  const scope = scopeIn(definition, store)
  if (scope === undefined) throw new FST_CTX_NO_SCOPE(call)
  if (scope.root.ended) throw new FST_CTX_ENDED(call)
  return scope
}

/** Whether a read that returned `undefined` may be a mistake: in development without a scope, or after the end of the scope. */
export function isMistake (definition: ContextDefinition, store: Store | undefined, key: string): boolean {
  const scope = scopeOf(definition, scopeOfStore(store))
  if (scope === undefined) return definition.registration.settings.diagnostics
  // Code reads names that are not keys: `await` reads `then`, `JSON.stringify` reads `toJSON`. Those were never set, so nobody misses them.
  return scope.root.ended && (scope.registration.policy.names.has(key) || key in scope.store)
}

/** Counts a read for which `isMistake` is true. In development it emits a warning. */
export function warnMistake (definition: ContextDefinition, store: Store | undefined, key: string, entryPoints: readonly EntryPoint[]): void {
  const scope = scopeOf(definition, scopeOfStore(store))
  if (scope !== undefined) return noteLate(key, scope, entryPoints)
  warnCopied(entryPoints)
  noteEarly(definition, key, entryPoints)
}

/** Throws the error that explains why a required key has no value. */
export function throwUnset (definition: ContextDefinition, store: Store | undefined, key: string): never {
  requireScope(definition, store, key)
  definition.checkKey(key)
  throw new FST_CTX_NOT_SET(key)
}

/** Whether a key has a value. */
export function hasValue (definition: ContextDefinition, store: Store | undefined, key: string): boolean {
  return scopeIn(definition, store)?.store[key] !== undefined
}

/** The keys that have a value, each with its value: `ctx.entries`. */
export function entriesIn (definition: ContextDefinition, store: Store | undefined): Array<[string, unknown]> {
  const scope = scopeIn(definition, store)
  return scope === undefined ? [] : Object.entries(scope.store).filter(([, value]) => value !== undefined)
}

/** The id of the message that is handled: `ctx.messageId`. */
export function messageIdIn (definition: ContextDefinition, store: Store | undefined): string | undefined {
  const scope = scopeIn(definition, store)
  return scope === undefined ? undefined : messageIdOf(scope)
}

/** Sets a key in the innermost scope of a context. */
export function setValue (definition: ContextDefinition, store: Store | undefined, key: string, value: unknown): void {
  if (key === 'requestId') throw new FST_CTX_REQUEST_ID_FIXED()
  definition.checkKey(key)
  const scope = requireScope(definition, store, key)
  checkLock(key, scope)
  writeChecked(scope, key, value)
  noteOrigin(key, scope)
}
