import t from 'tap'
import { AREAS, byHand, rowsOf, visit } from './points.ts'
import type { Point } from './points/bench.ts'
import { columnOf, documentedPoints } from './points/documentation.ts'
import { fastifyCtx, fastifyRequestContextPlugin } from './points/subjects.ts'

const points: Point[] = []

for (const area of AREAS) {
  t.test(`${area.name}: each request sees its own values, next to a request of another tenant`, async (t) => {
    const seen = await visit(area, fastifyCtx)
    points.push(...seen)
    t.not(seen.length, 0)
    for (const [outcome, what] of [['leak', 'leaked'], ['lost', 'lost']]) {
      t.same(seen.filter((point) => point.seen === outcome).map(({ transport, name }) => `${transport}: ${name}`), [], `nothing ${what}`)
    }
    t.same(seen.filter((point) => point.tenants.size < 2).map(({ transport, name }) => `${transport}: ${name}`), [], 'each point is visited by two tenants')
  })
}

t.test('by hand: places that no plugin can reach hold if the scope is carried there', async (t) => {
  const seen = await visit(byHand, fastifyCtx)
  t.same(seen.filter(({ name, seen }) => name.includes(', with ') && seen !== 'ok'), [])
  t.strictSame(columnOf('by hand').sort(), rowsOf(seen).map(({ where, seen }) => [where, seen]).sort(), 'the docs say so')
})

t.test('values can be lost at these points, and losses are detected: @fastify/request-context loses and leaks there', async (t) => {
  const seen: Point[] = []
  for (const area of AREAS) seen.push(...await visit(area, fastifyRequestContextPlugin))
  t.ok(seen.filter((point) => point.seen === 'lost').length > 100)
  t.ok(seen.filter((point) => point.seen === 'leak').length > 100)
})

t.test('docs/where-context-holds.md lists what this version of Node showed', async (t) => {
  const rows = rowsOf(points)
  t.strictSame(documentedPoints(`Node ${process.versions.node.split('.')[0]}`).sort(), rows.map(({ area, where, seen }) => [`${area}: ${where}`, seen]).sort(), 'if not: npm run where-context-holds')
})
