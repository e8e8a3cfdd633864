/**
 * Warnings that the soak causes: late reads, disconnects during a `ctx.run`; Node's about TypeScript; and Node's about the header
 * `connection`, which Fastify adds to the answer to a broken body, also over HTTP/2, which has no such header.
 */
const EXPECTED = ['FST_CTX_LATE_READ', 'FST_CTX_STILL_OPEN', 'ExperimentalWarning', 'UnsupportedWarning']

/** Collects rejections, exceptions and unexpected process warnings. */
export class Accidents {
  readonly counts = { rejections: 0, exceptions: 0, warnings: 0 }
  readonly told: string[] = []

  watch (): void {
    // Remove Node's own listener, which prints each warning. The unexpected ones are reported at the end.
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
