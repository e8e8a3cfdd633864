import { DEFAULT_MISSING_STATUS } from '../config/key-policies.ts'
import type { Origin } from '../scope/scope-state.ts'
import type { ContextDefinition } from '../lifecycle/context-definition.ts'
import type { Registration, Scope } from '../scope/scope.ts'
import { isOfRequest } from '../scope/lookup.ts'

/** Explains why a key has its value, or none. Never contains a value. */
export interface Explanation {
  /** The key that was asked for. */
  readonly key: string
  /** `set`: it has a value. `unset`: it has none. `ended`: its scope is over. `no scope`: none is open here. */
  readonly state: 'set' | 'unset' | 'ended' | 'no scope'
  /** What set the value: a seed, the request (its id), a call of `set`, `run` or `impersonate`, an envelope, or the copy for `detach`. */
  readonly by: 'seed' | 'request' | 'set' | 'run' | 'impersonate' | 'hydrate' | 'detach' | undefined
  /** The kind of hook that was running when `set` was called, `handler`, `a job` or `detached work`. */
  readonly phase: string | undefined
  /** How many scopes further out it was set. 0 is the current scope. */
  readonly depth: number | undefined
  /** The same in one sentence. */
  readonly text: string
}

/** Where the value of a key comes from and where it may go, for a review. */
export interface PolicyRow {
  /** The name of the key. */
  readonly key: string
  /** Whether each request starts with a value. */
  readonly seeded: boolean
  /** Whether log lines have it: the value itself, or what the policy's function returns. */
  readonly logged: 'no' | 'value' | 'mapped'
  /** Whether only `ctx.impersonate` may shadow it, once it is set. */
  readonly locked: boolean
  /** Whether the copies for `ctx.detach` and `ctx.after` have it. */
  readonly detached: boolean
  /** Whether envelopes contain it: the value itself, or what the policy's `pack` returns. */
  readonly carried: 'no' | 'value' | 'packed'
  /** The name of the request header that carries it. */
  readonly header: string | undefined
  /** The origins to which its header is sent. */
  readonly origins: readonly string[]
  /** The name of the span attribute that has it. */
  readonly attribute: string | undefined
  /** The status code of the response if a route requires it and it is not set. */
  readonly missing: number
}

export function explainKey (key: string, scope: Scope | undefined): Explanation {
  const nothing = { key, by: undefined, phase: undefined, depth: undefined }
  if (scope === undefined) return { ...nothing, state: 'no scope', text: `'${key}' has no value: no scope of this context is open here` }
  const { root } = scope
  const place = root.route === undefined ? '' : ` of ${root.route}`
  if (root.ended) return { ...nothing, state: 'ended', text: `'${key}' has no value any more, because the request${place} has ended` }
  let depth = 0
  for (let holder: Scope | undefined = scope; holder !== undefined; holder = holder.parent, depth++) {
    if (holder.owns(key)) return found(key, holder, depth, place)
  }
  const why = isLeftOut(key, root) ? 'it has detach: false, so the copies for detached work leave it out' : isSeeded(key, scope.registration) ? 'its seed returned none, and nothing has set it since' : 'it has no seed, and nothing set it'
  return { ...nothing, state: 'unset', text: `'${key}' has no value in this scope${place}: ${why}` }
}

function isLeftOut (key: string, { lazyState: state, registration }: Scope): boolean {
  return state?.madeBy === 'detach' && registration.policy.undetached.has(key)
}

function found (key: string, holder: Scope, depth: number, place: string): Explanation {
  const origin = originOf(key, holder)
  const by = whatGave(key, holder, origin)
  const set = holder.store[key] !== undefined
  const where = depth === 0 ? 'in this scope' : `${depth} scope${depth === 1 ? '' : 's'} outwards`
  const how = {
    seed: 'by its seed',
    request: 'by the request',
    set: origin === undefined ? 'by requestContext.set' : `by ctx.set in ${origin.phase}`,
    run: 'by ctx.run',
    hydrate: 'by the envelope given to ctx.hydrate',
    impersonate: 'by ctx.impersonate',
    detach: 'by the copy that detached work has'
  }[by]
  const shadowed = holder.parent?.store[key] === undefined ? '' : ', and hides the value around it'
  return {
    key,
    state: set ? 'set' : 'unset',
    by,
    phase: origin?.phase,
    depth,
    text: `'${key}' was ${set ? 'given' : 'set to undefined'} ${where}${place} ${how}${shadowed}`
  }
}

function whatGave (key: string, holder: Scope, origin: Origin | undefined): NonNullable<Explanation['by']> {
  const { lifetime, parent, registration } = holder
  if (origin !== undefined) return 'set'
  if (holder.lazyState?.impersonation?.actors.has(key) === true && parent !== undefined) return 'impersonate'
  if (holder.lazyState?.madeBy !== undefined) return holder.lazyState.madeBy
  if (lifetime === undefined || !isOfRequest(holder)) return 'run'
  if (key === 'requestId') return 'request'
  return isSeeded(key, registration) ? 'seed' : 'set'
}

function isSeeded (key: string, { policy }: Registration): boolean {
  return policy.seeds.some(({ name }) => name === key)
}

/** Records the phase in which a key was set. */
export function noteOrigin (key: string, scope: Scope): void {
  const phase = phaseOf(scope.root)
  const origin = originOf(key, scope)
  if (origin === undefined) scope.origins = { key, phase, before: scope.origins }
  else origin.phase = phase
}

function phaseOf (root: Scope): string {
  if (isOfRequest(root)) return root.lifetime!.phase
  return root.lazyState?.madeBy === 'detach' ? 'detached work' : 'a job'
}

function originOf (key: string, scope: Scope): Origin | undefined {
  let { origins: origin } = scope
  while (origin !== undefined && origin.key !== key) origin = origin.before
  return origin
}

export function policyOf (definition: ContextDefinition): readonly PolicyRow[] {
  const { policy: { names, seeds, logged, locked, missing, serializedKeys: carried, headers, undetached }, settings: { propagate, tracing } } = definition.registration
  return [...names].map((key) => {
    const log = logged.find(({ name }) => name === key)?.log
    return {
      key,
      seeded: seeds.some(({ name }) => name === key),
      logged: log === undefined ? 'no' : log === true ? 'value' : 'mapped',
      locked: locked.has(key),
      detached: !undetached.has(key),
      carried: !carried.has(key) ? 'no' : carried.get(key) === undefined ? 'value' : 'packed',
      header: headers.get(key),
      origins: Object.keys(propagate).filter((origin) => propagate[origin]!.includes(key)),
      attribute: tracing?.attributes.get(key),
      missing: missing.get(key) ?? DEFAULT_MISSING_STATUS
    }
  })
}
