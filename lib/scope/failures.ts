import { contains } from './lookup.ts'
import type { Scope } from './scope.ts'

/** The innermost scope that an error left. Only the error keeps it alive. */
const scopes = new WeakMap<object, Scope>()

/** Records that an error leaves a scope. The innermost scope counts, unless the same object was thrown somewhere else before. */
export function noteFailure (error: unknown, scope: Scope): void {
  if (typeof error !== 'object' || error === null) return
  const inner = scopes.get(error)
  if (inner === undefined || !contains(scope, inner)) scopes.set(error, scope)
}

/**
 * Returns the scope for a log line about an error: the one that the error left, if it is within the current scope or if no scope is
 * current. An error of another request does not add its fields to a line of this request.
 */
export function scopeOfFailure (error: unknown, current: Scope | undefined): Scope | undefined {
  if (typeof error !== 'object' || error === null) return current
  const inner = scopes.get(error)
  return inner !== undefined && (current === undefined || contains(current, inner)) ? inner : current
}
