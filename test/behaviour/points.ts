import { answers, serverSentEvents } from './points/answers.ts'
import { Bench, type Area, type Point } from './points/bench.ts'
import { bodies, multiparts } from './points/bodies.ts'
import { events, hijacks, losses, sequences, timeLimits } from './points/connections.ts'
import { errors, hooks } from './points/lifecycle.ts'
import { pools } from './points/pools.ts'
import type { Subject } from './points/subjects.ts'

/** The points at which a request's context is looked at, area by area, in the order of the documentation. */
export const AREAS: readonly Area[] = [hooks, errors, pools, bodies, events, answers, serverSentEvents, hijacks, timeLimits, losses, sequences, multiparts]

/** Visits the points of one area, each by requests of two tenants or more at the same time. */
export async function visit (area: Area, subject: Subject): Promise<Point[]> {
  const points: Point[] = []
  for (const transport of area.transports) {
    const bench = new Bench(area.name, transport, subject)
    try {
      await area.visit(bench)
    } finally {
      await bench.close()
    }
    points.push(...bench.points.values())
  }
  return points
}
