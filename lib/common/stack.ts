/** Returns the lines of a stack that name a call, without `at`. */
export function framesOf (stack: string | undefined): string[] {
  return (stack ?? '').split('\n').filter((line) => line.startsWith('    at ')).map((line) => line.slice('    at '.length))
}

/** Whether a line of a stack names a file of the application or of this package, and not one of Node.js or of a dependency. */
export function isOwnFrame (frame: string): boolean {
  return /[/\\]/.test(frame) && !/[/\\]node_modules[/\\]|\bnode:/.test(frame)
}
