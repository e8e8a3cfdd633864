// Prints what this version of Node shows at each point, as JSON, for scripts/where-context-holds.mjs.
import { AREAS, byHand, rowsOf, visit } from '../points.ts'
import type { Area } from './bench.ts'
import { fastifyCtx, fastifyCtxByPublicHooks, fastifyRequestContextPlugin, type Subject } from './subjects.ts'

async function visitAll (areas: readonly Area[], subject: Subject): Promise<object> {
  const points = []
  for (const area of areas) points.push(...await visit(area, subject))
  return rowsOf(points)
}

console.log(JSON.stringify({
  ours: await visitAll(AREAS, fastifyCtx),
  publicHooks: await visitAll(AREAS, fastifyCtxByPublicHooks),
  before: await visitAll(AREAS, fastifyRequestContextPlugin),
  byHand: await visitAll([byHand], fastifyCtx)
}))
