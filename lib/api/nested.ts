import { FST_CTX_INVALID_ARGUMENT, FST_CTX_REST_REFUSED } from '../common/errors.ts'
import { ownOptions } from '../common/own-options.ts'
import type { ContextDefinition } from '../lifecycle/context-definition.ts'
import { continueIn, whyNotForRest } from '../lifecycle/rest-of-request.ts'
import { beginRun, checkRun, openScope, runIn, setMessageId, type RunOptions } from '../lifecycle/run.ts'
import { impersonationOf } from '../scope/lookup.ts'
import type { Scope, Store } from '../scope/scope.ts'
import { beginImpersonation } from './audit.ts'
import { requireScope, scopeIn } from './values.ts'

/** The options of `ctx.impersonate`. */
export interface ImpersonateOptions {
  /** The reason for the audit. Log lines of the impersonation have it as `reason`. */
  readonly reason: string
  /** Not with a function: the impersonation lasts as long as that runs. */
  readonly rest?: false
}

/** The same for the rest of a request. */
export interface ImpersonateRestOptions extends Omit<ImpersonateOptions, 'rest'> {
  /** From the next hook on, until the request ends. */
  readonly rest: true
}

/** Opens the scope that `ctx.run` calls its function in. */
export function openNested (definition: ContextDefinition, store: Store | undefined, values: Readonly<Record<string, unknown>>, fn: () => unknown, options: RunOptions | undefined): Scope {
  const own = checkRun(fn, options)
  const parent = own?.inherit === false ? undefined : scopeIn(definition, store)
  const scope = openScope(definition, parent, values, 'ctx.run')
  if (own !== undefined && 'messageId' in own) setMessageId(scope, own.messageId)
  beginRun(scope, fn, own)
  return scope
}

/** Calls `fn` in a new scope that remembers the values it hides as those of the actor, or lets the request go on in it: `ctx.impersonate`. */
export function impersonate (definition: ContextDefinition, store: Store | undefined, values: Readonly<Record<string, unknown>>, options: ImpersonateOptions | ImpersonateRestOptions | undefined, fn: (() => unknown) | undefined): unknown {
  const scope = requireScope(definition, store, 'ctx.impersonate')
  const { reason, rest = false } = ownOptions(options ?? {}) as Partial<ImpersonateRestOptions>
  if (typeof reason !== 'string' || reason === '') throw new FST_CTX_INVALID_ARGUMENT('ctx.impersonate', '{ reason } second, a string that is not empty')
  if (typeof rest !== 'boolean') throw new FST_CTX_INVALID_ARGUMENT('ctx.impersonate', "a boolean as 'rest'")
  if (rest ? fn !== undefined : typeof fn !== 'function') throw new FST_CTX_INVALID_ARGUMENT('ctx.impersonate', 'a function to call third, after the reason, or { rest: true } without one')
  if (rest) checkRest(scope)
  const inner = openScope(definition, scope, values, 'ctx.impersonate')
  const actors = new Map(impersonationOf(scope)?.actors)
  for (const name of Object.keys(values)) if (!actors.has(name)) actors.set(name, scope.store[name])
  inner.state().impersonation = { actors, reason }
  // The function of the rest returns at once, and the scope ends with the request that goes on in it.
  const work = fn ?? (() => { continueIn(inner) })
  return runIn(inner, beginImpersonation(inner, store, Object.keys(values), reason, work), undefined)
}

function checkRest (scope: Scope): void {
  const why = whyNotForRest(scope)
  if (why !== undefined) throw new FST_CTX_REST_REFUSED(why)
}

/** The real value of a key, ignoring any impersonation. */
export function actorOf (definition: ContextDefinition, store: Store | undefined, key: string): unknown {
  const scope = scopeIn(definition, store)
  if (scope === undefined) return undefined
  const actors = impersonationOf(scope)?.actors
  return actors?.has(key) === true ? actors.get(key) : scope.store[key]
}
