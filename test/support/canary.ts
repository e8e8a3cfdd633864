/** The value that belongs to one request only. A test looks for it wherever it may appear. */
export function canary (n: number, what: string): string {
  return `canary-${n}-${what}`
}
