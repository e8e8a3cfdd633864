import { FST_CTX_INVALID_ARGUMENT } from '../common/errors.ts'
import type { ContextDefinition } from '../lifecycle/context-definition.ts'
import { addOnEnd, copyOf, startDetached } from '../lifecycle/detached.ts'
import { scopeOfStore, type Scope, type Store } from '../scope/scope.ts'
import { requireScope, scopeIn } from './values.ts'

/** Runs `fn` when the current scope ends: `ctx.onEnd`. */
export function callAtEnd (definition: ContextDefinition, store: Store | undefined, fn: () => unknown): void {
  if (typeof fn !== 'function') throw new FST_CTX_INVALID_ARGUMENT('ctx.onEnd', 'a function to call at the end')
  addOnEnd(requireScope(definition, store, 'ctx.onEnd'), store!, fn)
}

/** Starts work in a copy of what is current: `ctx.detach`. */
export function startNow (definition: ContextDefinition, store: Store | undefined, fn: () => unknown): void {
  if (typeof fn !== 'function') throw new FST_CTX_INVALID_ARGUMENT('ctx.detach', 'a function that starts the work, not its promise')
  startDetached((scopeIn(definition, store) ?? definition).registration, copyIn(store), fn)
}

/** Starts work in a copy of what is current, once the current scope has ended: `ctx.after`. */
export function startAfter (definition: ContextDefinition, store: Store | undefined, fn: () => unknown): void {
  if (typeof fn !== 'function') throw new FST_CTX_INVALID_ARGUMENT('ctx.after', 'a function that starts the work, not its promise')
  const scope = scopeIn(definition, store)
  const copy = copyIn(store)
  const start = (): void => { startDetached((scope ?? definition).registration, copy, fn) }
  if (scope === undefined || scope.root.done) start()
  else (scope.root.state().afterTasks ??= []).push(start)
}

/** The copy of the innermost scope, which may be that of another context. */
function copyIn (store: Store | undefined): Scope | undefined {
  const around = scopeOfStore(store)
  return around === undefined ? undefined : copyOf(around)
}
