/** Something to check after the current turn of the event loop. */
export interface Ending { tryToEnd (): void }

// Read when the module loads, so that a test runner which fakes the timers later does not stop the ends of requests.
const nextTurn = setImmediate
const now = performance.now.bind(performance)

/** After this many milliseconds without the next turn, it is assumed never to come. */
const PATIENCE = 100

/**
 * Collects what may end in one turn and checks it in the next, so that other listeners of the same event, and code that awaits it,
 * still find the values. One callback serves all of them.
 */
export class EndQueue {
  private waiting: Ending[] = []
  private armedAt = 0
  private readonly schedule: (callback: () => void) => unknown

  /** Checks all of them now. */
  readonly drain = (): void => {
    const endings = this.waiting
    this.waiting = []
    for (const ending of endings) {
      try {
        ending.tryToEnd()
      } catch (error) {
        // The ends of other requests must not depend on it. It is reported like any error of a callback.
        queueMicrotask(() => { throw error })
      }
    }
  }

  /** @param schedule calls a function in the next turn */
  constructor (schedule: (callback: () => void) => unknown = nextTurn) {
    this.schedule = schedule
  }

  /** Checks something in the next turn. */
  add (ending: Ending): void {
    const count = this.waiting.push(ending)
    if (count === 1) this.arm()
    // If timers were faked when the module was loaded, no turn comes, and the next requests do the work.
    else if ((count & 15) === 0 && now() - this.armedAt > PATIENCE) {
      this.drain()
    }
  }

  private arm (): void {
    this.armedAt = now()
    this.schedule(this.drain)
  }
}

/** The queue of the process. */
export const endings = new EndQueue()
