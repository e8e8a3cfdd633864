import { isOfRequest, scopeOf } from '../scope/lookup.ts'
import type { Scope } from '../scope/scope.ts'

/** Hooks before the handler: one that answers need not call `done`. */
export const BEFORE_HANDLER: ReadonlySet<string> = new Set(['onRequest', 'preParsing', 'preValidation', 'preHandler'])

/** Why the request of a scope cannot go on in one that opens below it; `undefined` where it can. */
export function whyNotForRest (scope: Scope): string | undefined {
  if (!isOfRequest(scope.root)) return 'the scope is not that of a request'
  const { reenters, watched, phase, current, innermost } = scope.root.lifetime!
  if (!reenters || !watched) return 'nothing is replaced for this route (reenter: false), so its hooks and its handler would not run in it'
  if (!BEFORE_HANDLER.has(phase)) return 'the handler has begun'
  // What a nested scope holds, such as a connection, would stay in use after its function.
  if (current !== innermost.store || scopeOf(scope.definition, innermost) !== scope) return 'it was called in a nested scope'
  return undefined
}

/** The request of a scope goes on in it from the next hook on. */
export function continueIn (scope: Scope): void {
  scope.root.lifetime!.continueIn(scope.store)
}
