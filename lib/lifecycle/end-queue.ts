import { scheduler } from 'node:timers/promises'
import type { Lifetime } from '../scope/scope.ts'

/** Something to check after the current turn of the event loop. */
export interface Ending { tryToEnd (): void }

// Read when the module loads, so that a test runner which fakes the timers later does not stop the ends of requests.
const nextTurn = setImmediate

/** With so many waiting, the next turn is asked for once more. */
const MANY = 16

/**
 * Collects what may end in one turn and checks it in the next, so that other listeners of the same event, and code that awaits it,
 * still find the values. One callback serves all of them.
 */
export class EndQueue<E extends Ending> {
  private waiting: E[] = []
  private readonly schedule: (callback: () => void) => unknown

  /** @param schedule calls a function in the next turn */
  constructor (schedule: (callback: () => void) => unknown = nextTurn) {
    this.schedule = schedule
  }

  /** Checks something in the next turn. */
  add (ending: E): void {
    const count = this.waiting.push(ending)
    if (count === 1) this.schedule(this.drainAll)
    // If timers were faked before the module loads, nothing calls back. No test runner fakes this one.
    else if (count % MANY === 0) scheduler.yield().then(this.drainAll)
  }

  /** Checks those that match now. The others wait for their turn. */
  drain (matches: (ending: E) => boolean): void {
    const endings = this.waiting.filter(matches)
    this.waiting = this.waiting.filter((ending) => !matches(ending))
    endAll(endings)
  }

  private readonly drainAll = (): void => {
    const endings = this.waiting
    this.waiting = []
    endAll(endings)
  }
}

function endAll (endings: readonly Ending[]): void {
  for (const ending of endings) {
    try {
      ending.tryToEnd()
    } catch (error) {
      // The ends of other requests must not depend on it. It is reported like any error of a callback.
      queueMicrotask(() => { throw error })
    }
  }
}

/** The queue of the process. */
export const endings = new EndQueue<Ending & Lifetime>()
