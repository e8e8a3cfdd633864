import { AsyncLocalStorage } from 'node:async_hooks'
import { isCopiedStore, type Scope } from './scope.ts'
import { currentStore } from './storage.ts'
import { tallyOf } from './tally.ts'
import { callSite, warnOnce, type EntryPoint } from '../common/warnings.ts'

/**
 * Common mistakes. Each emits one warning with its place and the solution, only in development or with `diagnostics: true`.
 */

/**
 * The name of the hook that runs before a scope opens. It has its own storage, because diagnostics must not change the storage of
 * the context.
 */
const earlyHook = new AsyncLocalStorage<string>()

/** Wraps a hook that is registered before the plugin, so that reads in it emit a warning. */
export function watchedHook<F extends (...args: any[]) => unknown> (hook: F): F {
  const name = hook.name.replace(/^bound /, '') || 'anonymous'
  // It has the parameters and the result of the hook.
  return ((...args: unknown[]) => earlyHook.run(name, hook, ...args)) as F
}

/** Warns about a read without a scope, if it happened in a hook that was registered before the plugin. */
export function noteEarly (definition: object, key: string, entrances: readonly EntryPoint[]): void {
  // Work that the hook started may continue within the request, whose scope is current by then.
  const hook = currentStore() === undefined ? earlyHook.getStore() : undefined
  if (hook === undefined) return
  const tally = tallyOf(definition)
  if (tally !== undefined) tally.counts.earlyReads++
  warnOnce('FST_CTX_EARLY_READ', `${key} ${hook}`, () => `'${key}' was read${callSite(entrances)} in the hook '${hook}', which runs before the scope opens, and is undefined: register fastify-ctx before that hook`)
}

/** Warns about a read after the end of the request. */
export function noteLate (key: string, { definition, registration: { settings }, root: { route } }: Scope, entrances: readonly EntryPoint[]): void {
  const tally = tallyOf(definition)
  if (tally !== undefined) tally.counts.lateReads++
  if (!settings.diagnostics) return
  warnOnce('FST_CTX_LATE_READ', `${key} ${route}`, () => `'${key}' was read${callSite(entrances)} after the scope${of(route)} had ended, and is undefined: read it before, or start the work that needs it by ctx.detach()`)
}

/** Warns about a call without a scope, if a copy of a scope's store is current. */
export function warnCopied (entrances: readonly EntryPoint[]): void {
  if (!isCopiedStore(currentStore())) return
  warnOnce('FST_CTX_COPIED_STORE', '', () => `the context was used${callSite(entrances)} in a copy of a scope's store, which is not a scope: use ctx.run(values, fn) instead of running asyncLocalStorage with { ...store }`)
}

/** Warns about a run whose function is still running when its request ends. */
export function noteOpen ({ definition, work, registration: { settings }, root: { route } }: Scope): void {
  // If a getter of its values threw, nothing runs in it.
  if (work === undefined) return
  const tally = tallyOf(definition)
  if (tally !== undefined) tally.counts.stillOpen++
  if (!settings.diagnostics) return
  const name = work.name === '' ? `ctx.run(…, ${shortened(String(work))})` : `the function '${work.name}' of a ctx.run`
  warnOnce('FST_CTX_STILL_OPEN', `${name} ${route}`, `the request${of(route)} ended while ${name} was still running: await it, or start it by ctx.detach()`)
}

function shortened (code: string): string {
  const line = code.replace(/\s+/g, ' ')
  return line.length > 60 ? `${line.slice(0, 60)}…` : line
}

function of (route: string | undefined): string {
  return route === undefined ? '' : ` of ${route}`
}
