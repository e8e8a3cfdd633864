import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { SettledScopes } from '../../../lib/scope/settled-scopes.ts'

const turn = async (): Promise<void> => { await new Promise((resolve) => { setImmediate(resolve) }) }

setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc') as () => void

/** Each one references its group, as a scope does. */
interface Member { readonly i: number, group?: object }

t.test('SettledScopes finds those of the last 1,024 scopes that something still references', async (t) => {
  const settled = new SettledScopes<Member>()
  const kept: Member[] = []
  // In its own function, so that no register keeps the last one.
  const add = (round: number): void => {
    for (let i = 0; i < 1600; i++) {
      const member: Member = { i: round * 1600 + i }
      member.group = settled.add(member)
      if (i % 160 === 0) kept.push(member)
    }
  }
  for (let round = 0; round < 5; round++) {
    add(round)
    for (let i = 0; i < 3; i++) {
      await turn()
      gc()
    }
  }
  const found = [...settled]
  // The last are 16 in each of 64 groups. Later ones of the same turn replace those of earlier turns.
  for (const member of kept) t.equal(found.includes(member), member.i >= 8000 - 1024, `${member.i} of 8,000`)
  // Each referenced scope keeps its group.
  t.ok(found.length < 500, `${found.length} are left`)
})

t.test('SettledScopes may miss some of very many scopes in one turn, and finds all in the next', async (t) => {
  await turn()
  const settled = new SettledScopes<Member>()
  const all = Array.from({ length: 5000 }, (_, i): Member => ({ i }))
  for (const member of all) member.group = settled.add(member)
  t.same([...settled].map(({ i }) => i).sort((a, b) => a - b), all.slice(4096 - 1024, 4096).concat(all.slice(4992)).map(({ i }) => i), 'V8 would keep more until the end of the turn')
  await turn()
  const more = Array.from({ length: 100 }, (_, i): Member => ({ i: 5000 + i }))
  for (const member of more) member.group = settled.add(member)
  const found = new Set(settled)
  t.ok(more.every((member) => found.has(member)))
})
