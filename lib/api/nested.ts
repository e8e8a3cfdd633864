import { FST_CTX_INVALID_ARGUMENT } from '../common/errors.ts'
import { ownOptions } from '../common/own-options.ts'
import type { ContextDefinition } from '../lifecycle/context-definition.ts'
import { checkRun, openScope, runIn, type RunOptions } from '../lifecycle/run.ts'
import { impersonationOf } from '../scope/lookup.ts'
import type { Store } from '../scope/scope.ts'
import { requireScope, scopeIn } from './values.ts'

/** Why somebody acts as somebody else. */
export interface ImpersonateOptions {
  /** For the audit: log lines within carry it as `reason`. */
  readonly reason: string
}

/** Calls `fn` in a new scope below the current one: `ctx.run`. */
export function runNested<R> (definition: ContextDefinition, store: Store | undefined, values: Readonly<Record<string, unknown>>, fn: () => R, options: RunOptions | undefined): R {
  const own = checkRun(fn, options)
  const parent = own?.inherit === false ? undefined : scopeIn(definition, store)
  return runIn(openScope(definition, parent, values, 'ctx.run'), fn, own)
}

/** Calls `fn` in a new scope that remembers the values it hides as those of the actor: `ctx.impersonate`. */
export function impersonate<R> (definition: ContextDefinition, store: Store | undefined, values: Readonly<Record<string, unknown>>, options: ImpersonateOptions | undefined, fn: () => R): R {
  const scope = requireScope(definition, store, 'ctx.impersonate')
  const reason = ownOptions(options)?.reason
  if (typeof reason !== 'string' || reason === '') throw new FST_CTX_INVALID_ARGUMENT('ctx.impersonate', '{ reason } second, a string that is not empty')
  if (typeof fn !== 'function') throw new FST_CTX_INVALID_ARGUMENT('ctx.impersonate', 'a function to call third, after the reason')
  const inner = openScope(definition, scope, values, 'ctx.impersonate')
  const actors = new Map(impersonationOf(scope)?.actors)
  for (const name of Object.keys(values)) if (!actors.has(name)) actors.set(name, scope.store[name])
  inner.state().impersonation = { actors, reason }
  return runIn(inner, fn, undefined)
}

/** The real value of a key, ignoring any impersonation. */
export function actorOf (definition: ContextDefinition, store: Store | undefined, key: string): unknown {
  const scope = scopeIn(definition, store)
  if (scope === undefined) return undefined
  const actors = impersonationOf(scope)?.actors
  return actors?.has(key) === true ? actors.get(key) : scope.store[key]
}
