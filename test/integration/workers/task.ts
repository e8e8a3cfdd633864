// The task of all workers in these tests: runs step by step, and reads its context between steps.
import { workerData } from 'node:worker_threads'
import { pino } from 'pino'
import { gate, type Gate } from '../../support/support.ts'
import { ctx, look, type Seen } from './context.ts'

/** Opens a gate for tasks of the same worker, or waits at one, so that tasks end in a given order. */
export type Step = { readonly open: string } | { readonly wait: string }

export interface Task {
  readonly name: string
  readonly steps: readonly Step[]
  /** The message of the error that the task throws. */
  readonly fails?: string
}

/** What a task saw, and what its worker saw directly before and after it. */
export interface Done {
  readonly before: Seen
  readonly seen: readonly Seen[]
  readonly after: Seen
}

const { log } = (workerData ?? {}) as { readonly log?: string }

/** The worker's own logger, which writes to the given file or to stdout. */
const logger = pino({ mixin: ctx.mixin, base: null }, log === undefined ? process.stdout : pino.destination({ dest: log, sync: true }))

const gates = new Map<string, Gate>()

function gateOf (name: string): Gate {
  const found = gates.get(name) ?? gate()
  gates.set(name, found)
  return found
}

export async function perform ({ name, steps, fails }: Task, glance: () => Seen = look): Promise<Seen[]> {
  const seen = [glance()]
  logger.info({ task: name }, 'task begun')
  for (const step of steps) {
    if ('open' in step) gateOf(step.open).open()
    else await gateOf(step.wait).promise
    seen.push(glance())
  }
  logger.info({ task: name }, 'task done')
  if (fails !== undefined) throw new Error(fails)
  return seen
}

/** Tasks that are all open at once, then end in the given order, one after another. */
export function tasksEnding (prefix: string, order: readonly number[]): Task[] {
  return order.map((_, n) => {
    const before = order[order.indexOf(n) - 1]
    return {
      name: `${prefix}-${n}`,
      steps: [
        { open: `${prefix}-${n} begun` },
        ...order.map((other) => ({ wait: `${prefix}-${other} begun` })),
        ...(before === undefined ? [] : [{ wait: `${prefix}-${before} ended` }]),
        { open: `${prefix}-${n} ended` }
      ]
    }
  })
}
