/** Whatever is looked at once the current turn of the event loop is over. */
export interface Ending { tryToEnd (): void }

// Taken when the module loads: a test runner that fakes the timers later does not stop the ends of requests.
const nextTurn = setImmediate
const now = performance.now.bind(performance)

/** Milliseconds after which a turn that did not come is taken for one that never will. */
const PATIENCE = 100

/**
 * Collects what ends in one turn and looks at it in the next, so that listeners of the same event, and whoever awaits it,
 * still find the values. One callback serves all of them.
 */
export class EndQueue {
  private waiting: Ending[] = []
  private armedAt = 0
  private readonly schedule: (callback: () => void) => unknown

  /** Looks at all of them now. */
  readonly drain = (): void => {
    const endings = this.waiting
    this.waiting = []
    for (const ending of endings) {
      try {
        ending.tryToEnd()
      } catch (error) {
        // The ends of other requests do not depend on it. It is reported as any error of a callback is.
        queueMicrotask(() => { throw error })
      }
    }
  }

  /** @param schedule what calls back in the next turn */
  constructor (schedule: (callback: () => void) => unknown = nextTurn) {
    this.schedule = schedule
  }

  /** Looks at something in the next turn. */
  add (ending: Ending): void {
    const count = this.waiting.push(ending)
    if (count === 1) this.arm()
    // Timers may have been faked when the module was loaded: then the next requests do what no turn did.
    else if ((count & 15) === 0 && now() - this.armedAt > PATIENCE) {
      this.drain()
    }
  }

  private arm (): void {
    this.armedAt = now()
    this.schedule(this.drain)
  }
}

/** The one queue of the process. */
export const endings = new EndQueue()
