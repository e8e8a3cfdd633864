import { fileURLToPath } from 'node:url'

/** Where this package is: its own code is not what a user looks for. */
const OWN = fileURLToPath(new URL('..', import.meta.url))

const MAX_FRAMES = 60

/**
 * Remembers the call it is made in, and finds the nearest line of the application's own code in it: not of Node's, of a
 * dependency, or of this package.
 *
 * @returns what gives `handler (/app/routes.js:12:7)`, or `undefined` where there is none; text is made only when it is called
 */
export function rememberCall (own: string = OWN): () => string | undefined {
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = MAX_FRAMES
  const error = new Error()
  Error.stackTraceLimit = stackTraceLimit
  return () => {
    const frames = error.stack!.split('\n').filter((line) => line.startsWith('    at ')).map(asPath)
    return frames.find((frame) => isOfApplication(frame, own))
  }
}

/** A frame with a path in place of a URL. */
function asPath (line: string): string {
  return line.trim().replace(/^at /, '').replace(/file:\/\/[^\s)]*?(?=:\d+:\d+\)?$)/, (url) => fileURLToPath(url))
}

function isOfApplication (frame: string, own: string): boolean {
  return /[/\\]/.test(frame) && !/[/\\]node_modules[/\\]|\bnode:/.test(frame) && !frame.includes(own)
}
