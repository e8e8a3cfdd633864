// The file of a Piscina pool. Its export runs a task.
import { carried, type Carried } from '../../../lib/worker.ts'
import { ctx, look, type Seen } from './context.ts'
import { perform, type Done, type Task } from './task.ts'

const work = carried(ctx, perform)

export default async function inScope (task: Carried<Task>): Promise<Done> {
  const before = look()
  const seen = await work(task)
  return { before, seen, after: look() }
}

let current: Seen = {}

/** The thread-pool trap: a module variable says whose task it is, and nobody resets it. */
export async function byVariable ({ context, data }: Carried<Task>): Promise<Done> {
  const before = current
  const { requestId, values } = JSON.parse(context) as { readonly requestId: string, readonly values: Seen }
  current = { requestId, ...values }
  const seen = await perform(data, () => current)
  return { before, seen, after: current }
}
