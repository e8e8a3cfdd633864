import type { Scope } from './scope.ts'

/** How often each event happened since the counting began. */
export interface Counts {
  opened: number
  ended: number
  collected: number
  lateReads: number
  earlyReads: number
  stillOpen: number
}

/** An open scope, and its opening time by the clock of `now()`. */
export interface Opened {
  readonly scope: Scope
  readonly since: number
}

// Read when the module loads, because a test runner may fake the clock later.
const clock = performance.now.bind(performance)

/** Returns the milliseconds of a clock that never goes back. */
export function now (): number {
  return clock()
}

/** How many roots are kept before the collected ones are first removed. */
const MAX_ROOTS = 1024

/**
 * The open scopes of one context, and its counts. Scopes are referenced weakly, so a tally keeps nothing alive. No code can run any more
 * in a scope that nothing else references.
 */
export class Tally {
  /** When the counting began: milliseconds since the epoch. */
  readonly since = Date.now()
  readonly counts: Counts = { opened: 0, ended: 0, collected: 0, lateReads: 0, earlyReads: 0, stillOpen: 0 }
  /** The open roots by number, in the order of opening. */
  private readonly roots = new Map<number, { readonly reference: WeakRef<Scope>, readonly since: number }>()
  private readonly runs = new WeakMap<Scope, number>()
  private limit = MAX_ROOTS

  /** Counts a root that opens. */
  open (scope: Scope): void {
    this.counts.opened++
    this.roots.set(scope.number, { reference: new WeakRef(scope), since: now() })
    if (this.roots.size < this.limit) return
    this.openRoots()
    this.limit = MAX_ROOTS + 2 * this.roots.size
  }

  /** Counts a root that ends, unless it opened before the counting began. */
  end (scope: Scope): void {
    if (this.roots.delete(scope.number)) this.counts.ended++
  }

  /** Records when a run within another scope begins. */
  begin (scope: Scope): void {
    this.runs.set(scope, now())
  }

  /** Returns when a run within another scope began. `undefined` if that was before the counting. */
  beginOf (scope: Scope): number | undefined {
    return this.runs.get(scope)
  }

  /** Returns the open roots, the oldest first. */
  openRoots (): Opened[] {
    const open: Opened[] = []
    for (const [number, { reference, since }] of this.roots) {
      const scope = reference.deref()
      if (scope !== undefined) open.push({ scope, since })
      else {
        this.roots.delete(number)
        this.counts.collected++
      }
    }
    return open
  }
}

/** The tallies by context. Nothing is counted or kept before the first call of `ctx.inFlight`. */
let tallies: WeakMap<object, Tally> | undefined

/** Returns the tally of a context, which begins with the first call. */
export function startTally (definition: object): Tally {
  tallies ??= new WeakMap()
  let tally = tallies.get(definition)
  if (tally === undefined) tallies.set(definition, tally = new Tally())
  return tally
}

/** Returns the tally of a context, or `undefined` before the first call of `ctx.inFlight`. */
export function tallyOf (definition: object): Tally | undefined {
  return tallies?.get(definition)
}
