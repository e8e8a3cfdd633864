// A long-lived worker thread or `fork` child process that works on all tasks that it receives at once.
import { parentPort } from 'node:worker_threads'
import { carried } from '../../../lib/worker.ts'
import { ctx, look } from './context.ts'
import { perform, type Done } from './task.ts'

/** The result of a task: what it saw, or why it failed. */
export interface Reply extends Partial<Done> { readonly id: number, readonly error?: { readonly code?: string, readonly message: string } }

const work = carried(ctx, perform)

async function answer ({ id, task }: { readonly id: number, readonly task: never }): Promise<void> {
  const before = look()
  const outcome = await work(task).then((seen) => ({ seen }), ({ code, message }) => ({ error: { code, message } }))
  const reply = { id, before, after: look(), ...outcome }
  if (parentPort === null) process.send!(reply)
  else parentPort.postMessage(reply)
}

const inbox = parentPort ?? process
inbox.on('message', (message) => { answer(message as never) })
