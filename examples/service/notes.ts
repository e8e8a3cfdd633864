import { randomUUID } from 'node:crypto'
import { ctx } from './context.ts'
import { NO_SUCH_NOTE } from './errors.ts'
import { audit } from './logging.ts'
import * as repository from './repository.ts'
import type { Note } from './repository.ts'

export async function write (text: string): Promise<Note> {
  const note = await repository.insert({ id: randomUUID(), author: ctx.require('user').id, text })
  audit.info({ note: note.id }, 'note written')
  return note
}

export async function read (id: string): Promise<Note> {
  const note = await repository.find(id)
  if (note === undefined) throw new NO_SUCH_NOTE(id)
  return note
}

export async function list (): Promise<Note[]> {
  const notes: Note[] = []
  for await (const note of repository.each()) notes.push(note)
  ctx.log.info({ notes: notes.length }, 'notes listed')
  return notes
}

/** One line of JSON a note, made while the answer is on its way. */
export async function * exported (): AsyncGenerator<string> {
  for await (const note of repository.each()) {
    audit.info({ note: note.id }, 'note exported')
    yield `${JSON.stringify(note)}\n`
  }
  ctx.log.info('export complete')
}

export async function reindex (): Promise<void> {
  await repository.reindex()
}
