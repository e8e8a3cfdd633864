/**
 * Waits until something is done, but no longer than some milliseconds.
 *
 * @param start called at once, with what is to be called when it is done; returns what is called when the waiting is over
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
