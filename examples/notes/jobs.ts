import { fork, type ChildProcess } from 'node:child_process'
import { carry } from 'fastify-ctx/worker'
import { ctx } from './context.ts'
import { logger } from './logging.ts'

/** A job of the worker. */
export interface Job {
  readonly report: string
}

const log = logger('jobs')

/** A worker process, started for the first job. Its unfinished jobs are lost when it dies. A real queue would keep them. */
export class Jobs {
  readonly #url: string
  #worker: ChildProcess | undefined

  /** @param url where the worker finds the database */
  constructor (url: string) {
    this.#url = url
  }

  /** Sends a job of the current request with the carried keys: tenant, user, request id. */
  add (job: Job): void {
    // A worker outlives the request that started it, so its events are not part of that request.
    this.#worker ??= ctx.exit(() => this.#start())
    this.#worker.send(carry(ctx, job))
  }

  /** Waits until the worker has finished its jobs. */
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
      if (code !== 0) log.error({ worker: worker.pid, code, signal }, 'the worker died; the next job starts another one')
      this.#worker = undefined
    })
    return worker
  }
}
