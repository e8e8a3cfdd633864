/**
 * Waits until something is done, but not longer than this many milliseconds.
 *
 * @param start called at once with a callback for when it is done; returns a function that is called when the wait is over
 */
export async function within (milliseconds: number, start: (done: () => void) => () => void): Promise<void> {
  let stop: (() => void) | undefined
  let timer: NodeJS.Timeout | undefined
  try {
    await new Promise<void>((resolve) => {
      timer = setTimeout(resolve, milliseconds)
      stop = start(resolve)
    })
  } finally {
    clearTimeout(timer)
    stop?.()
  }
}
