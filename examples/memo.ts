// A request needs the same rows in many places, and loads them once. The next request, or another user, loads its own.
import DataLoader from 'dataloader'
import Fastify from 'fastify'
import { createContext, key } from 'fastify-ctx'

const ctx = createContext({ user: key<string>({ seed: ({ headers }) => headers['x-user'] }) })

const loadSettings = ctx.memo(async (area: string) => {
  console.log(`  loads the ${area} settings of ${ctx.get('user')}`)
  return `${area} of ${ctx.get('user')}`
})

// One DataLoader per scope, in three lines.
function notes (): DataLoader<number, string> {
  return ctx.cache.getOrSet(findNotes, () => new DataLoader(findNotes))
}

async function findNotes (ids: readonly number[]): Promise<string[]> {
  console.log(`  loads the notes ${ids.join(', ')} of ${ctx.get('user')}`)
  return ids.map((id) => `note ${id}`)
}

const app = Fastify()
await app.register(ctx.plugin)
app.get('/', async () => {
  await Promise.all([loadSettings('mail'), loadSettings('mail'), notes().load(1), notes().load(2), notes().load(1)])
  const own = await loadSettings('mail')
  const other = await ctx.run({ user: 'guest' }, () => loadSettings('mail'))
  return `${own}, ${other}`
})

const url = await app.listen({ host: '127.0.0.1', port: 0 })
for (const user of ['ada', 'lin']) {
  console.log(`${user} asks`)
  console.log(await (await fetch(url, { headers: { 'x-user': user } })).text())
}
await app.close()
