// Starts workers on TypeScript files, and talks to one that many tasks share.
import { fork, type ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { Worker, type WorkerOptions } from 'node:worker_threads'
import { LOADER, OUTSIDE } from '../../support/processes.ts'
import { Lines, type Tap } from '../../support/support.ts'
import type { Reply } from './worker.ts'

/** Options that start a thread, also one of Piscina's, on a file of this folder. */
export function threadOf (name: string, data: object = {}): { readonly filename: string, readonly options: Pick<WorkerOptions, 'execArgv' | 'env' | 'workerData'> } {
  return {
    filename: fileURLToPath(new URL('start.mjs', import.meta.url)),
    options: { execArgv: [], env: OUTSIDE, workerData: { file: new URL(name, import.meta.url).href, ...data } }
  }
}

/** Options of a child process. */
export const CHILD = { execArgv: [...LOADER], env: OUTSIDE }

/** Starts a worker for one test, and returns what it writes to its stdout. */
export interface Started { readonly remote: Remote, readonly lines: Lines }

export function startThread (t: Tap): Started {
  const { filename, options } = threadOf('worker.ts')
  const worker = new Worker(filename, { ...options, stdout: true })
  t.teardown(() => worker.terminate())
  return { remote: new Remote(worker, (message) => { worker.postMessage(message) }), lines: linesOf(t, worker.stdout) }
}

export function startChild (t: Tap): Started {
  const child = fork(fileURLToPath(new URL('worker.ts', import.meta.url)), { ...CHILD, stdio: ['ignore', 'pipe', 'inherit', 'ipc'] })
  t.teardown(() => { child.kill() })
  return { remote: new Remote(child, (message) => { child.send(message as object) }), lines: linesOf(t, child.stdout!) }
}

/** The lines of a pipe. */
export function linesOf (t: Tap, pipe: Readable): Lines {
  const lines = new Lines(t)
  createInterface({ input: pipe }).on('line', (line) => { lines.write(line) })
  return lines
}

/** One worker shared by all senders. One listener receives all their results. */
export class Remote {
  readonly endpoint: Worker | ChildProcess
  readonly #send: (message: unknown) => void
  readonly #callbacks = new Map<number, (reply: Reply) => void>()
  #count = 0

  constructor (endpoint: Worker | ChildProcess, send: (message: unknown) => void) {
    this.endpoint = endpoint
    this.#send = send
    endpoint.on('message', (reply: Reply) => { this.#callbacks.get(reply.id)!(reply) })
  }

  run (task: unknown): Promise<Reply> {
    return new Promise((resolve) => { this.call(task, resolve) })
  }

  call (task: unknown, callback: (reply: Reply) => void): void {
    const id = this.#count++
    this.#callbacks.set(id, callback)
    this.#send({ id, task })
  }
}
