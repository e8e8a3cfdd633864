import { query, transaction } from './database.ts'
import { NO_SUCH_REPORT } from './errors.ts'
import * as notes from './notes.ts'

export interface Report {
  readonly id: string
  readonly state: 'queued' | 'done'
  readonly notes: number | null
  readonly words: number | null
}

/** In the service: adds a report for the worker to create. */
export async function order (): Promise<Report> {
  const [report] = await transaction(() => query<Report>('insert into reports default values returning *'))
  return report!
}

export async function find (id: string): Promise<Report> {
  const [report] = await transaction(() => query<Report>('select * from reports where id::text = $1', [id]))
  if (report === undefined) throw new NO_SUCH_REPORT(id)
  return report
}

/** In the worker: creates the report from the rows that its tenant may see. */
export async function make (id: string): Promise<void> {
  await transaction(async () => {
    const { notes: count, words } = await notes.count()
    const done = await query("update reports set state = 'done', notes = $2, words = $3 where id = $1 returning id", [id, count, words])
    if (done.length === 0) throw new NO_SUCH_REPORT(id)
  })
}
