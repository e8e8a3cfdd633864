/** Warnings that the soak gives cause for: reads after the end, clients that go while a `ctx.run` is running; and Node's of TypeScript. */
const EXPECTED = ['FST_CTX_LATE_READ', 'FST_CTX_STILL_OPEN', 'ExperimentalWarning']

/** What nobody caught: rejections, exceptions, and process warnings that were not to be expected. */
export class Accidents {
  readonly counts = { rejections: 0, exceptions: 0, warnings: 0 }
  readonly told: string[] = []

  watch (): void {
    // Node's own, which prints each: those that are not expected are told at the end.
    process.removeAllListeners('warning')
    process.on('unhandledRejection', (reason) => { this.#note('rejections', reason) })
    process.on('uncaughtException', (error) => { this.#note('exceptions', error) })
    process.on('warning', (warning: Error & { readonly code?: string }) => {
      if (!EXPECTED.includes(warning.code ?? warning.name)) this.#note('warnings', warning)
    })
  }

  #note (kind: keyof Accidents['counts'], what: unknown): void {
    this.counts[kind]++
    if (this.told.length < 20) this.told.push(`${kind}: ${what instanceof Error ? what.stack : String(what)}`)
  }
}
