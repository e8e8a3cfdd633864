import { deadlineOf, signalOf } from '../lifecycle/cancellation.ts'
import type { ContextDefinition } from '../lifecycle/context-definition.ts'
import type { Scope, Store } from '../scope/scope.ts'
import { scopeIn } from './values.ts'

/** The signal that aborts the work of the current scope. Outside a scope it is never aborted. */
export function signalIn (definition: ContextDefinition, store: Store | undefined): AbortSignal {
  const scope = scopeIn(definition, store)
  return scope === undefined ? new AbortController().signal : signalOf(scope)
}

/** The whole milliseconds that are left for the work of a scope, 0 or more. `undefined` if nothing limits it. */
export function timeLeft (scope: Scope | undefined): number | undefined {
  const deadline = deadlineOf(scope)
  return deadline === Infinity ? undefined : Math.max(0, Math.round(deadline - Date.now()))
}
