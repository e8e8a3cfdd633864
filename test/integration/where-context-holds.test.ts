import { readFileSync } from 'node:fs'
import t from 'tap'
import { AREAS, byHand, rowsOf, visit } from './points.ts'
import { fastifyHas } from '../support/support.ts'
import type { Point } from './points/bench.ts'
import { fastifyCtx, fastifyRequestContextPlugin } from './points/subjects.ts'

const points: Point[] = []

for (const area of AREAS) {
  t.test(`${area.name}: each request sees its own values, beside those of another tenant`, async (t) => {
    const seen = await visit(area, fastifyCtx)
    points.push(...seen)
    t.not(seen.length, 0)
    for (const [outcome, what] of [['leak', 'leaked'], ['lost', 'lost']]) {
      t.same(seen.filter((point) => point.seen === outcome).map(({ transport, name }) => `${transport}: ${name}`), [], `nothing ${what}`)
    }
    t.same(seen.filter((point) => point.tenants.size < 2).map(({ transport, name }) => `${transport}: ${name}`), [], 'each point is visited by two tenants')
  })
}

t.test('by hand: what no plugin can reach is held where the scope is carried there', async (t) => {
  const seen = await visit(byHand, fastifyCtx)
  t.same(seen.filter(({ name, seen }) => name.includes(', with ') && seen !== 'ok'), [])
  t.strictSame(columnOf('by hand').sort(), rowsOf(seen).map(({ where, seen }) => [where, seen]).sort(), 'the documentation says so')
})

t.test('these are points where a value can be lost, and losses are seen: @fastify/request-context loses and leaks there', async (t) => {
  const seen: Point[] = []
  for (const area of AREAS) seen.push(...await visit(area, fastifyRequestContextPlugin))
  t.ok(seen.filter((point) => point.seen === 'lost').length > 100)
  t.ok(seen.filter((point) => point.seen === 'leak').length > 100)
})

t.test('docs/where-context-holds.md says what was seen on this version of Node', async (t) => {
  const rows = rowsOf(points)
  const documented = columnOf('points').filter(([row]) => fastifyHas('handlerTimeout') || !isOfHandlerTimeout(row))
  t.strictSame(documented.sort(), rows.map(({ area, where, seen }) => [`${area}: ${where}`, seen]).sort(), 'if not: npm run where-context-holds')
})

/** Whether a row is about the limit of a handler, rather than that of a connection. */
function isOfHandlerTimeout (row: string): boolean {
  return (row.startsWith('Time limits: ') && !/onTimeout|connectionTimeout/.test(row)) || /^Work that goes on: .*(?:after the limit|handlerTimeout)$/.test(row)
}

/** What a table of the documentation says of this version of Node, row by row: where, and what was seen. */
function columnOf (block: string): Array<[where: string, seen: string]> {
  const text = readFileSync(new URL('../../docs/where-context-holds.md', import.meta.url), 'utf8')
  const lines = text.slice(text.indexOf(`<!-- ${block} -->`), text.indexOf(`<!-- end of ${block} -->`)).split('\n').slice(1, -1)
  const [head = [], , ...rows] = lines.map((line) => line.split('|').slice(1, -1).map((cell) => cell.trim()))
  const column = head.indexOf(`Node ${process.versions.node.split('.')[0]}`)
  const api = head.indexOf('by hand')
  return rows.map((cells) => {
    const carried = api === -1 || cells[api] === '' ? '' : `, with ${cells[api]!.replaceAll('`', '')}`
    return [cells[0] + carried, cells[column] ?? '']
  })
}
