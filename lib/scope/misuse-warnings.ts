import { AsyncLocalStorage } from 'node:async_hooks'
import { isCopiedStore, type Scope } from './scope.ts'
import { currentStore } from './storage.ts'
import { tallyOf } from './tally.ts'
import { callSite, warnOnce, type EntryPoint } from '../common/warnings.ts'

/**
 * Common mistakes. Each emits one warning, with its place and the way out: in development only, unless asked for
 * (`diagnostics: true`).
 */

/**
 * The name of the hook that runs before a scope is open. It has a storage of its own: what a diagnostic marks must not
 * change what the context's storage gives, nor be written to.
 */
const earlyHook = new AsyncLocalStorage<string>()

/** A hook that is registered before the plugin, in which a read is warned about. */
export function watchedHook<F extends (...args: any[]) => unknown> (hook: F): F {
  const name = hook.name.replace(/^bound /, '') || 'anonymous'
  // Same parameters, same result: it only marks the call.
  return ((...args: unknown[]) => earlyHook.run(name, hook, ...args)) as F
}

/** A value was read where there is no scope: in a hook that was registered before the plugin, that is a mistake. */
export function noteEarly (definition: object, key: string, entrances: readonly EntryPoint[]): void {
  // What the hook calls goes on within the request, whose scope is current by then.
  const hook = currentStore() === undefined ? earlyHook.getStore() : undefined
  if (hook === undefined) return
  const tally = tallyOf(definition)
  if (tally !== undefined) tally.counts.earlyReads++
  warnOnce('FST_CTX_EARLY_READ', `${key} ${hook}`, () => `'${key}' was read${callSite(entrances)} in the hook '${hook}', which runs before the scope opens, and is undefined: register fastify-ctx before that hook`)
}

/** A value was read when its request was over. */
export function noteLate (key: string, { definition, registration: { settings }, root: { route } }: Scope, entrances: readonly EntryPoint[]): void {
  const tally = tallyOf(definition)
  if (tally !== undefined) tally.counts.lateReads++
  if (!settings.diagnostics) return
  warnOnce('FST_CTX_LATE_READ', `${key} ${route}`, () => `'${key}' was read${callSite(entrances)} after the scope${of(route)} had ended, and is undefined: read it before, or start the work that needs it by ctx.detach()`)
}

/** A call found no scope, because what is current is a copy of a scope's store. */
export function warnCopied (entrances: readonly EntryPoint[]): void {
  if (!isCopiedStore(currentStore())) return
  warnOnce('FST_CTX_COPIED_STORE', '', () => `the context was used${callSite(entrances)} in a copy of a scope's store, which is not a scope: use ctx.run(values, fn) instead of running asyncLocalStorage with { ...store }`)
}

/** The request of a scope is over, and its function still runs. */
export function noteOpen ({ definition, work, registration: { settings }, root: { route } }: Scope): void {
  // A getter of its values threw: nothing runs in it.
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
