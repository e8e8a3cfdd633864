import { isOfRequest, scopeOf } from './lookup.ts'
import { scopeOfStore, type Scope, type Store } from './scope.ts'

/**
 * The scope of the unit of work around a scope: that of the request or job, also from within its runs. An impersonation is a separate
 * unit, so that nothing done or kept for the impersonated user becomes the real user's. A message of a connection is one too, because
 * the connection lasts much longer.
 */
export function unitOf (scope: Scope): Scope {
  const goesOn = isOfRequest(scope.root) ? scopeOf(scope.definition, scope.root.lifetime!.innermost) : undefined
  let unit = scope
  while (unit.parent !== undefined && unit !== goesOn && !isUnit(unit)) unit = unit.parent
  return unit
}

function isUnit ({ lazyState }: Scope): boolean {
  return (lazyState?.impersonation ?? lazyState?.messageId) !== undefined
}

/** The store to enter for a scope. In a request it is the store of the innermost context, from which this scope is visible. */
export function storeFor (scope: Scope): Store {
  const innermost = isOfRequest(scope.root) ? scope.root.lifetime!.innermost : scope
  return scopeOf(scope.definition, innermost) === scope ? innermost.store : scope.store
}

/**
 * The outermost store of the unit of work that has the same values as `store`, except for keys with `detach: false`. A result computed
 * there is valid here. A run that changes a key, such as the tenant, has other values, and shares nothing with the scopes around it.
 */
export function sharedStore (definition: object, store: Store | undefined): Store | undefined {
  const inner = scopeOfStore(store)
  const scope = scopeOf(definition, inner)
  if (inner === undefined || scope === undefined) return store
  const unit = unitOf(scope)
  let shared = store
  for (let around = scope; around !== unit;) {
    around = around.parent!
    const outer = storeFor(around)
    if (!seesTheSame(inner, scopeOfStore(outer)!)) break
    shared = outer
  }
  return shared
}

/** Whether two scopes, and those of other contexts around them, have the same values. */
function seesTheSame (inner: Scope, outer: Scope): boolean {
  for (let scope: Scope | undefined = inner; scope !== undefined; scope = scope.enclosing) {
    const other = scopeOf(scope.definition, outer)
    if (other === undefined || !(hasValuesOf(scope, other) && hasValuesOf(other, scope))) return false
  }
  return true
}

function hasValuesOf ({ store: own }: Scope, { store, registration }: Scope): boolean {
  const { undetached } = registration.policy
  for (const name in store) if (!undetached.has(name) && !Object.is(own[name], store[name])) return false
  return true
}
