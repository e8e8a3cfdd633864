import { fork, type ChildProcess } from 'node:child_process'
import { carry } from 'fastify-ctx/worker'
import { ctx } from './context.ts'
import { logger } from './logging.ts'

/** What the worker is to do. */
export interface Job {
  readonly report: string
}

const log = logger('jobs')

/** A worker process, begun at the first job. What it has not done when it dies is lost: a queue would keep it. */
export class Jobs {
  readonly #url: string
  /** A worker outlives the request that needed it first, and its end is none of that request's. */
  readonly #outside = ctx.snapshot()
  #worker: ChildProcess | undefined

  /** @param url where the worker finds the database */
  constructor (url: string) {
    this.#url = url
  }

  /** Hands on what the current request wants done, and with it the keys that are carried: tenant, user, request id. */
  add (job: Job): void {
    this.#worker ??= this.#outside(() => this.#start())
    this.#worker.send(carry(ctx, job))
  }

  /** Waits until the worker has done what it has begun. */
  async close (): Promise<void> {
    const worker = this.#worker
    if (worker === undefined) return
    const exit = new Promise((resolve) => { worker.once('exit', resolve) })
    if (worker.connected) worker.disconnect()
    await exit
  }

  #start (): ChildProcess {
    const worker = fork(new URL('worker.ts', import.meta.url), { env: { ...process.env, DATABASE_URL: this.#url } })
    worker.on('error', (error) => { log.error(error, 'a job did not reach the worker') })
    worker.on('exit', (code, signal) => {
      if (code !== 0) log.error({ worker: worker.pid, code, signal }, 'the worker died; the next job begins another')
      this.#worker = undefined
    })
    return worker
  }
}
