import { ctx } from './context.ts'
import { query, transaction } from './database.ts'
import { QUOTA_REACHED } from './errors.ts'

export interface Note {
  readonly id: string
  readonly tenant: string
  readonly author: string
  readonly text: string
}

const QUOTA = 1000

export async function write (text: string): Promise<Note> {
  const [note] = await transaction(() => query<Note>('insert into notes (author, text) values ($1, $2) returning *', [ctx.require('user').id, text]))
  ctx.log.info({ note: note!.id }, 'note written')
  return note!
}

/** No `where tenant = …`, here and below, so nobody can forget it. */
export async function list (): Promise<Note[]> {
  return transaction(() => query<Note>('select * from notes order by text'))
}

export async function count (): Promise<{ notes: number, words: number }> {
  const [counts] = await transaction(() => query<{ notes: number, words: number }>(
    "select count(*)::int as notes, coalesce(sum(cardinality(regexp_split_to_array(trim(text), '\\s+'))), 0)::int as words from notes"
  ))
  return counts!
}

/** An onRequest hook, which refuses a request before its body is read. */
export async function checkQuota (): Promise<void> {
  const { notes } = await count()
  if (notes >= QUOTA) throw new QUOTA_REACHED(notes)
}
