import { fileURLToPath } from 'node:url'
import { framesOf, isOwnFrame } from '../common/stack.ts'

const MAX_FRAMES = 60

/**
 * Remembers the call it is made in, and finds the nearest line of the application's own code in it: not of Node's, of a
 * dependency, or of this package. In a bundle, no line of the bundle is taken: it may be ours.
 *
 * @returns what gives `handler (/app/routes.js:12:7)`, or `undefined` where there is none; text is made only when it is called
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
 * Where our code is, by a frame of this file: the folder of the package, or the bundle. Not by `import.meta.url`, which a
 * bundle in CommonJS does not have.
 */
function ownCode (frame: string): string {
  const file = frame.replace(/^.*\((.*)\)$/, '$1').replace(/:\d+:\d+$/, '')
  return file.replace(/(?<=[/\\])testing[/\\]source\.[jt]s$/, '')
}

/** A frame with a path in place of a URL. */
function asPath (line: string): string {
  return line.replace(/file:\/\/[^\s)]*?(?=:\d+:\d+\)?$)/, (url) => fileURLToPath(url))
}
