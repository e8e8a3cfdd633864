import { fileURLToPath } from 'node:url'
import { framesOf, isOwnFrame } from '../common/stack.ts'

const MAX_FRAMES = 60

/**
 * Captures the current call, and finds the nearest line of the application's own code in it: not of Node, a
 * dependency, or this package. In a bundle it finds none, because any line of the bundle may be ours.
 *
 * @returns a function that returns `handler (/app/routes.js:12:7)`, or `undefined` if there is none; it creates the text only when called
 */
export function rememberCall (own?: string): () => string | undefined {
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = MAX_FRAMES
  const error = new Error()
  Error.stackTraceLimit = stackTraceLimit
  return () => {
    const frames = framesOf(error.stack).map(asPath)
    const ours = own ?? ownCode(frames[0] ?? '')
    return frames.find((frame) => isOwnFrame(frame) && !frame.includes(ours))
  }
}

/**
 * The location of our code, from a stack frame of this file: the folder of the package, or the bundle. `import.meta.url` does not
 * exist in a CommonJS bundle.
 */
function ownCode (frame: string): string {
  const file = frame.replace(/^.*\((.*)\)$/, '$1').replace(/:\d+:\d+$/, '')
  return file.replace(/(?<=[/\\])testing[/\\]source\.[jt]s$/, '')
}

/** A frame with a path instead of a URL. */
function asPath (line: string): string {
  return line.replace(/file:\/\/[^\s)]*?(?=:\d+:\d+\)?$)/, (url) => fileURLToPath(url))
}
