// The same points with reenter: false: what public hooks alone hold, and what they do not.
import t from 'tap'
import { AREAS, rowsOf, visit } from './points.ts'
import type { Point } from './points/bench.ts'
import { documentedPoints } from './points/documentation.ts'
import { fastifyCtxByPublicHooks } from './points/subjects.ts'

t.test('docs/where-context-holds.md lists what reenter: false holds on this version of Node', async (t) => {
  const points: Point[] = []
  for (const area of AREAS) points.push(...await visit(area, fastifyCtxByPublicHooks))
  t.strictSame(documentedPoints('`reenter: false`').sort(), rowsOf(points).map(({ area, where, seen }) => [`${area}: ${where}`, seen]).sort(), 'if not: npm run where-context-holds')
  t.same(points.filter(({ requestCtx }) => requestCtx === 'wrong').map(({ name }) => name), [], 'request.ctx always has the values of its request')
  t.notOk(points.some(({ name }) => name === 'any log line'), 'and so has each line of request.log: none has the tenant of another request')
  const wrong = points.filter(({ seen }) => seen !== 'ok')
  t.same(wrong.filter(({ area }) => area === 'Hooks and handlers' || area === 'Errors and 404').map(({ name }) => name), [], 'hooks, handlers and error handlers that Fastify calls in sequence hold')
})
