import type { Owner } from './owner.ts'
import type { Scope } from './scope.ts'

/** Why a key has its value, or none. Values themselves are never in it. */
export interface Explanation {
  readonly key: string
  /** `set`: it has a value. `unset`: it has none. `ended`: its scope is over. `no scope`: none is open here. */
  readonly state: 'set' | 'unset' | 'ended' | 'no scope'
  /** What gave it its value: a seed, a call of `set` or `run` or `impersonate`. */
  readonly by: 'seed' | 'set' | 'run' | 'impersonate' | undefined
  /** The kind of hook that was running when `set` was called, or `handler`. */
  readonly phase: string | undefined
  /** How many scopes outwards it was given: 0 is the current one. */
  readonly depth: number | undefined
  /** The same in one sentence. */
  readonly text: string
}

/** What a key may do, for a review: where it comes from and where it goes. */
export interface PolicyRow {
  readonly key: string
  /** Whether each request starts with a value. */
  readonly seeded: boolean
  /** Whether log lines carry it: the value itself, or what the policy's function makes of it. */
  readonly logged: 'no' | 'value' | 'mapped'
  readonly locked: boolean
  /** The status code of the answer where a route requires it and it is not set. */
  readonly missing: number
}

/** The status code of the answer where a required key has no other. */
export const MISSING = 400

export function explainKey (key: string, scope: Scope | undefined): Explanation {
  const nothing = { key, by: undefined, phase: undefined, depth: undefined }
  if (scope === undefined) return { ...nothing, state: 'no scope', text: `'${key}' has no value: no scope of this context is open here` }
  const { root } = scope
  const place = root.route === undefined ? '' : ` of ${root.route}`
  if (root.ended) return { ...nothing, state: 'ended', text: `'${key}' has no value any more: the request${place} is over` }
  let depth = 0
  for (let holder: Scope | undefined = scope; holder !== undefined; holder = holder.parent, depth++) {
    if (Object.hasOwn(holder.store, key)) return found(key, holder, depth, place)
  }
  const seeded = scope.registration.policy.seeds.some(({ name }) => name === key)
  const why = seeded ? 'its seed gave none, and nothing set it since' : 'it has no seed, and nothing set it'
  return { ...nothing, state: 'unset', text: `'${key}' has no value in this scope${place}: ${why}` }
}

function found (key: string, holder: Scope, depth: number, place: string): Explanation {
  const phase = holder.extras?.origins?.get(key)
  const by = phase !== undefined ? 'set' : holder.extras?.impersonation?.actors.has(key) === true ? 'impersonate' : holder.life === undefined || holder.parent !== undefined ? 'run' : 'seed'
  const set = holder.store[key] !== undefined
  const where = depth === 0 ? 'in this scope' : `${depth} scope${depth === 1 ? '' : 's'} outwards`
  const how = { seed: 'by its seed', set: `by ctx.set in ${phase}`, run: 'by ctx.run', impersonate: 'by ctx.impersonate' }[by]
  const shadowed = holder.parent !== undefined && holder.parent.store[key] !== undefined ? ', and hides the value around it' : ''
  return {
    key,
    state: set ? 'set' : 'unset',
    by,
    phase,
    depth,
    text: set ? `'${key}' was given ${where}${place} ${how}${shadowed}` : `'${key}' was set to undefined ${where}${place} ${how}${shadowed}`
  }
}

export function policyOf (owner: Owner): readonly PolicyRow[] {
  const { names, seeds, logged, locked, missing } = owner.registration.policy
  return [...names].map((key) => {
    const log = logged.find(({ name }) => name === key)?.log
    return {
      key,
      seeded: seeds.some(({ name }) => name === key),
      logged: log === undefined ? 'no' : log === true ? 'value' : 'mapped',
      locked: locked.has(key),
      missing: missing.get(key) ?? MISSING
    }
  })
}
