import type { Impersonation } from './scope-state.ts'
import type { Lifetime, Scope } from './scope.ts'

/** Returns the innermost scope of a context, from `scope` outwards, up to date. */
export function scopeOf (definition: object, scope: Scope | undefined): Scope | undefined {
  while (scope !== undefined && scope.definition !== definition) scope = scope.enclosing
  if (scope !== undefined && scope.unlinked) scope.refresh()
  return scope
}

/** Whether a scope is a request's own. The scope of a job is not, and neither is the copy for detached work. */
export function isOfRequest (scope: Scope): boolean {
  return scope.lifetime !== undefined && scopeOf(scope.definition, scope.lifetime.scope) === scope
}

/** The request whose values a scope sees: its own, or that of another context around it. A copy sees its own values. */
export function lifetimeAround (scope: Scope): Lifetime | undefined {
  for (let around: Scope | undefined = scope; around !== undefined; around = around.enclosing) {
    if (isOfRequest(around.root)) return around.root.lifetime
  }
  return undefined
}

/** Whether `inner` is `scope`, or was opened within it, in the scopes of this or of another context. */
export function contains (scope: Scope, inner: Scope | undefined): boolean {
  // Usually there is only one context.
  for (; inner !== undefined && inner.enclosing === undefined; inner = inner.parent) if (inner === scope) return true
  if (inner === undefined) return false
  const around = new Set<Scope | undefined>([inner])
  // The loop also visits what is added to the set on the way.
  for (const from of around) if (from !== undefined) around.add(from.parent).add(from.enclosing)
  return around.has(scope)
}

/** The innermost impersonation that a scope is in. */
export function impersonationOf (scope: Scope): Impersonation | undefined {
  for (let from: Scope | undefined = scope; from !== undefined; from = from.parent) {
    if (from.lazyState?.impersonation !== undefined) return from.lazyState.impersonation
  }
  return undefined
}

/** The id of the message that is handled where a scope is current. */
export function messageIdOf (scope: Scope): string | undefined {
  for (let from: Scope | undefined = scope; from !== undefined; from = from.parent) {
    if (from.lazyState?.messageId !== undefined) return from.lazyState.messageId
  }
  return undefined
}
