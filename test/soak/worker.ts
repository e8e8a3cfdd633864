// The task of a pool thread: reads its context, and returns what it saw.
import { setImmediate as turn } from 'node:timers/promises'
import { pino } from 'pino'
import { carried, type Carried } from '../../lib/worker.ts'
import { makeContext } from './context.ts'
import { Scopes } from './scopes.ts'

export interface Task {
  readonly n: number
  /** The canary names of tenant and user. */
  readonly names: string
}

/** What code in a task sees. */
export interface Seen {
  readonly requestId: string | undefined
  readonly tenant: string | undefined
  readonly user: string | undefined
  readonly token: string | undefined
  readonly actor: string | undefined
}

export interface Done {
  /** In the order of the reads. */
  readonly seen: readonly Seen[]
  /** What was seen outside any task, before and after it. */
  readonly outside: readonly Seen[]
  /** Log lines of this task and of others. */
  readonly lines: readonly string[]
  /** How many scopes opened and ended in this thread so far. The scope of this task is still open. */
  readonly opened: number
  readonly ended: number
}

const ctx = makeContext()
const scopes = new Scopes()
scopes.watch()
let lines: string[] = []
const log = pino({ mixin: ctx.mixin, base: null }, { write (line) { lines.push(line) } })

const work = carried(ctx, async ({ n, names }: Task) => {
  const seen = [look()]
  for (let i = 0; i < 2; i++) {
    log.info(`look ${n} ${names} worker`)
    await turn()
    seen.push(look())
  }
  const { opened, ended } = scopes
  return { seen, opened, ended }
})

export default async function inScope (task: Carried<Task>): Promise<Done> {
  const before = look()
  const done = await work(task)
  const written = lines
  lines = []
  return { ...done, outside: [before, look()], lines: written }
}

function look (): Seen {
  return { requestId: ctx.get('requestId'), tenant: ctx.get('tenant'), user: ctx.get('user')?.id, token: ctx.get('token'), actor: ctx.actor('user')?.id }
}
