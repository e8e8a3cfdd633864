import { isOfRequest, scopeOf } from '../scope/lookup.ts'
import type { Scope } from '../scope/scope.ts'

/** The hooks before the handler. A hook that sends the response need not call `done`. */
export const BEFORE_HANDLER: ReadonlySet<string> = new Set(['onRequest', 'preParsing', 'preValidation', 'preHandler'])

/** Returns why the request of a scope cannot continue in a scope that opens below it, or `undefined` if it can. */
export function whyNotForRest (scope: Scope): string | undefined {
  if (!isOfRequest(scope.root)) return 'the scope is not that of a request'
  const { reenters, watched, phase, current, innermost } = scope.root.lifetime!
  if (!reenters || !watched) return 'nothing is replaced for this route (reenter: false), so its hooks and its handler would not run in it'
  if (!BEFORE_HANDLER.has(phase)) return 'the handler has begun'
  // Resources of a nested scope, such as a connection, would stay in use after its function.
  if (current !== innermost.store || scopeOf(scope.definition, innermost) !== scope) return 'it was called in a nested scope'
  return undefined
}

/** Makes the request continue in a scope from the next hook on. */
export function continueIn (scope: Scope): void {
  scope.root.lifetime!.continueIn(scope.store)
}
