import type { Impersonation } from './extras.ts'
import type { Scope } from './scope.ts'

/** The innermost scope of one context, from `scope` outwards. */
export function scopeOf (owner: object, scope: Scope | undefined): Scope | undefined {
  while (scope !== undefined && scope.owner !== owner) scope = scope.outer
  return scope
}

/** Whether a scope is a request's own: that of a job is not, nor is the copy that detached work has. */
export function isOfRequest (scope: Scope): boolean {
  return scope.life !== undefined && scopeOf(scope.owner, scope.life.scope) === scope
}

/** The innermost impersonation that a scope is in. */
export function impersonationOf (scope: Scope): Impersonation | undefined {
  for (let from: Scope | undefined = scope; from !== undefined; from = from.parent) {
    if (from.extras?.impersonation !== undefined) return from.extras.impersonation
  }
  return undefined
}
