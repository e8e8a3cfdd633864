import { isAborted } from '../lifecycle/cancellation.ts'
import type { ContextDefinition } from '../lifecycle/context-definition.ts'
import { ON_END } from '../lifecycle/detached.ts'
import { FST_CTX_INVALID_ARGUMENT } from '../common/errors.ts'
import { warningCounts } from '../common/warnings.ts'
import { isOfRequest, scopeOf } from '../scope/lookup.ts'
import type { Fields } from '../scope/line.ts'
import type { Registration, Scope } from '../scope/scope.ts'
import { currentScope } from '../scope/storage.ts'
import { now, startTally } from '../scope/tally.ts'
import { writtenFields } from './fields.ts'
import { timeLeft } from './limits.ts'

/** The options of `ctx.inFlight`. */
export interface InFlightOptions {
  /** How many scopes are listed at most. The oldest come first. Default 1,000. */
  readonly limit?: number
}

/** A request, a run or detached work that is open. It contains only the values that log lines have. */
export interface OpenScope {
  /**
   * `request`: a request, until its scope ends. `run`: the function of a `ctx.run`, `ctx.impersonate` or `ctx.hydrate` that has not settled.
   * `detached`: work of `ctx.detach` or `ctx.after`. `onEnd`: callbacks of `ctx.onEnd` that have begun.
   */
  readonly kind: 'request' | 'run' | 'detached' | 'onEnd'
  /** The id of the request or job that it belongs to. */
  readonly requestId: string | undefined
  /** The pattern of the route; `undefined` outside a request. */
  readonly route: string | undefined
  /** In a request: the kind of hook that ran last, or `handler`. */
  readonly phase: string | undefined
  /** The name of the function that runs, if it has one. */
  readonly name: string | undefined
  /** For how many milliseconds it has been open. */
  readonly age: number
  /** Whether it has to stop: the client left, the time limit passed, or its signal was aborted. */
  readonly aborted: boolean
  /** The milliseconds that are left for it, 0 or more. `undefined` if nothing limits it. */
  readonly remaining: number | undefined
  /** Whether it is the request or job that asks, or belongs to it. */
  readonly current: boolean
  /** The fields of its log lines, with the serializers and the redaction of the application's logger. */
  readonly fields: Readonly<Record<string, unknown>>
}

/** How often something happened in a context since `since`. */
export interface InFlightCounts {
  /** Requests that opened, and runs that opened outside another scope. */
  readonly opened: number
  /** Of these, how many have ended. */
  readonly ended: number
  /** Of these, how many can never end because nothing references them any more. */
  readonly collected: number
  /** Reads of a key after the end of its scope. */
  readonly lateReads: number
  /** Reads of a key in a hook before the plugin. Counted if `diagnostics` is on. */
  readonly earlyReads: number
  /** Runs whose function had not settled when their request ended. */
  readonly stillOpen: number
}

/** What `ctx.inFlight` returns. */
export interface InFlight {
  /** When the counting began, which is the first call: milliseconds since the epoch. */
  readonly since: number
  /** What was counted since then. */
  readonly counts: InFlightCounts
  /** How often the process has emitted each warning of this package, by code, for all contexts. */
  readonly warnings: Readonly<Record<string, number>>
  /** How many scopes of each kind are open, whether or not they are listed. */
  readonly open: Readonly<Record<OpenScope['kind'], number>>
  /** The open scopes, the oldest first. */
  readonly scopes: readonly OpenScope[]
}

const LIMIT = 1000

interface Found {
  readonly kind: OpenScope['kind']
  /** The scope of this context that it runs in. `undefined` for work that was started outside any scope. */
  readonly scope: Scope | undefined
  readonly since: number
  readonly name: string | undefined
}

/**
 * Returns what a context has open. The first call starts the counting.
 *
 * @throws FST_CTX_INVALID_ARGUMENT
 */
export function inFlightOf (definition: ContextDefinition, { limit = LIMIT }: InFlightOptions = {}): InFlight {
  if (!Number.isSafeInteger(limit) || limit < 0) throw new FST_CTX_INVALID_ARGUMENT('ctx.inFlight', 'a limit that is a whole number, 0 or more')
  const { since, counts } = startTally(definition)
  const found = findOpen(definition)
  const open = { request: 0, run: 0, detached: 0, onEnd: 0 }
  for (const { kind } of found) open[kind]++
  const here = scopeOf(definition, currentScope())
  const scopes = found.sort((a, b) => a.since - b.since).slice(0, limit).map((each) => rowOf(each, here))
  return { since, counts: { ...counts }, warnings: warningCounts(), open, scopes }
}

function findOpen (definition: ContextDefinition): Found[] {
  const tally = startTally(definition)
  const found: Found[] = []
  const addRuns = (around: Scope): void => {
    for (const scope of around.below()) {
      const since = tally.beginOf(scope)
      if (since !== undefined && scope.work !== undefined) found.push({ kind: 'run', scope, since, name: scope.work.name })
    }
  }
  for (const { scope, since } of tally.openRoots()) {
    found.push({ kind: isOfRequest(scope) ? 'request' : 'run', scope, since, name: scope.work?.name })
    addRuns(scope)
  }
  for (const { pending } of new Set<Registration>([definition.registration, ...definition.registrations])) {
    for (const { scope: around, what, since } of pending) {
      const scope = scopeOf(definition, around)
      const isEnd = what === ON_END
      found.push({ kind: isEnd ? 'onEnd' : 'detached', scope, since, name: isEnd ? undefined : what })
      if (!isEnd && scope !== undefined) addRuns(scope)
    }
  }
  return found
}

function rowOf ({ kind, scope, since, name }: Found, here: Scope | undefined): OpenScope {
  return {
    kind,
    requestId: scope?.root.store.requestId as string | undefined,
    route: scope?.root.route,
    phase: scope !== undefined && isOfRequest(scope.root) ? scope.root.lifetime!.phase : undefined,
    name: name === '' ? undefined : name,
    age: Math.max(0, Math.round(now() - since)),
    aborted: scope !== undefined && isAborted(scope),
    remaining: timeLeft(scope),
    current: scope !== undefined && scope.root === here?.root,
    fields: scope === undefined ? {} : fieldsOf(scope)
  }
}

/** The fields of the log lines of a scope without the request id, which has its own column. */
function fieldsOf (scope: Scope): Fields {
  const { [scope.registration.idLabel]: _requestId, ...fields } = writtenFields(scope, 'own')
  return fields
}
