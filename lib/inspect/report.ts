import { inFlightOf, type InFlight } from '../api/in-flight.ts'
import { policyOf, type PolicyRow } from '../api/explain.ts'
import type { ContextDefinition } from '../lifecycle/context-definition.ts'
import { patchStates, type PatchState } from '../patches/index.ts'

/** The JSON response at `path/data`. */
export interface Report {
  /** The process that responded. Of several behind one address, each shows its own requests. */
  readonly process: InspectedProcess
  /** The contexts that are registered in the application, in order. */
  readonly contexts: readonly InspectedContext[]
  /** The parts that the contexts replace in the application, and those that cannot be replaced. */
  readonly patches: readonly PatchState[]
}

/** The process that responded. */
export interface InspectedProcess {
  /** Its id. */
  readonly pid: number
  /** The version of Node.js. */
  readonly node: string
  /** How many seconds it has been running. */
  readonly uptime: number
}

/** One context: its open scopes, and the policy of its keys. */
export interface InspectedContext {
  /** The result of `ctx.inFlight`. */
  readonly inFlight: InFlight
  /** The result of `ctx.policy`. */
  readonly policy: readonly PolicyRow[]
}

/** Creates the report of the contexts of an application. */
export function reportOf (registered: ReadonlyMap<ContextDefinition, { readonly reenter?: boolean }>): Report {
  const definitions = [...registered.keys()]
  const reenters = [...registered.values()].some(({ reenter = true }) => reenter)
  const propagates = definitions.some(({ registration }) => registration.settings.keysFor !== undefined)
  return {
    process: { pid: process.pid, node: process.version, uptime: Math.round(process.uptime()) },
    contexts: definitions.map((definition) => ({ inFlight: inFlightOf(definition), policy: policyOf(definition) })),
    patches: patchStates(reenters, propagates)
  }
}
