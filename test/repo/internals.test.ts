// docs/internals.md is the register of what we replace.
import { readFileSync } from 'node:fs'
import t from 'tap'
import { PATCHES } from '../../lib/patches/index.ts'

const table = readFileSync(new URL('../../docs/internals.md', import.meta.url), 'utf8').split('## The table')[1]!.split(/^## /m)[0]!
const rows = table.split('\n').filter((line) => line.startsWith('| ')).slice(2).map((line) => line.slice(2, -2).split(' | '))

t.test('docs/internals.md lists each row of the register, word for word', async (t) => {
  t.not(PATCHES.length, 0)
  t.same(rows.map((cells) => cells.slice(0, 4)), PATCHES.map(({ target, property, reason, without }) => [target, `\`${property}\``, reason.replace(/https:\S+/g, (url) => `<${url}>`), without]))
})

t.test('each says why, with a link, and how it is undone', async (t) => {
  for (const { target, reason } of PATCHES) t.match(reason, / https:\/\/\S+$/, target)
  for (const [target, , , , undone] of rows) t.match(undone, /\w/, `${target}`)
})
