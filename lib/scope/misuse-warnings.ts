import type { Scope, Store } from './scope.ts'
import { currentStore } from './storage.ts'
import { callSite, warnOnce } from '../common/warnings.ts'

/**
 * Classic mistakes, each told once, with its place and the way out: in development only, unless asked for
 * (`diagnostics: true`).
 */

const kHook = Symbol('fastify-ctx.hook')

/** The store of a hook that runs before a scope is open: it holds no value, but tells a read in it. */
export function earlyStore (hook: string): Store {
  return Object.assign(Object.create(null) as Store, { [kHook]: hook })
}

/** A value was read where there is no scope: in a hook that was registered before the plugin, that is a mistake. */
export function warnEarly (key: string): void {
  const hook = (currentStore() as { readonly [kHook]?: string } | undefined)?.[kHook]
  if (hook === undefined) return
  warnOnce('FST_CTX_EARLY_READ', `${key} ${hook}`, `'${key}' was read${callSite()} in the hook '${hook}', which runs before the scope opens, and is undefined: register fastify-ctx before that hook`)
}

/** A value was read when its request was over. */
export function warnLate (key: string, { route }: Scope): void {
  warnOnce('FST_CTX_LATE_READ', `${key} ${route}`, `'${key}' was read${callSite()} after the scope${of(route)} had ended, and is undefined: read it before, or start the work that needs it by ctx.detach()`)
}

/** The request of a scope is over, and its function still runs. */
export function warnOpen ({ work, root: { route } }: Scope): void {
  const name = work === undefined || work.name === '' ? `ctx.run(…, ${shortened(String(work))})` : `the function '${work.name}' of a ctx.run`
  warnOnce('FST_CTX_STILL_OPEN', `${name} ${route}`, `the request${of(route)} ended while ${name} was still running: await it, or start it by ctx.detach()`)
}

function shortened (code: string): string {
  const line = code.replace(/\s+/g, ' ')
  return line.length > 60 ? `${line.slice(0, 60)}…` : line
}

function of (route: string | undefined): string {
  return route === undefined ? '' : ` of ${route}`
}
