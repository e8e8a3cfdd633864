import { inFlightOf, type InFlight } from '../api/in-flight.ts'
import { policyOf, type PolicyRow } from '../api/explain.ts'
import type { ContextDefinition } from '../lifecycle/context-definition.ts'
import { patchStates, type PatchState } from '../patches/index.ts'

/** What `path/data` answers, as JSON. */
export interface Report {
  /** The process that answers: of several behind one address, each shows its own requests. */
  readonly process: InspectedProcess
  /** The contexts that are registered in the application, the first one first. */
  readonly contexts: readonly InspectedContext[]
  /** What the contexts replace in the application, and what cannot be replaced. */
  readonly patches: readonly PatchState[]
}

/** The process that answered. */
export interface InspectedProcess {
  /** Its id. */
  readonly pid: number
  /** The version of Node.js. */
  readonly node: string
  /** For how many seconds it has been up. */
  readonly uptime: number
}

/** One context: what it has open, and what its keys may do. */
export interface InspectedContext {
  /** What `ctx.inFlight` returns. */
  readonly inFlight: InFlight
  /** What `ctx.policy` returns. */
  readonly policy: readonly PolicyRow[]
}

/** Makes the report of the contexts of an application. */
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
