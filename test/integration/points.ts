import { answers, serverSentEvents } from './points/answers.ts'
import { Bench, type Area, type Point } from './points/bench.ts'
import { bodies, multiparts } from './points/bodies.ts'
import { byHand } from './points/by-hand.ts'
import { events, hijacks, losses, sequences, timeLimits } from './points/connections.ts'
import { goingOn, innermost } from './points/going-on.ts'
import { graphql, proxies, tokens } from './points/libraries.ts'
import { errors, hooks } from './points/lifecycle.ts'
import { pools } from './points/pools.ts'
import type { Subject } from './points/subjects.ts'
import { websockets } from './points/websockets.ts'

/** The points at which the context of a request is checked, area by area, in the order of the docs. */
export const AREAS: readonly Area[] = [
  hooks, errors, pools, bodies, events, answers, serverSentEvents, hijacks, timeLimits, losses, goingOn, innermost, sequences,
  websockets, proxies, graphql, multiparts, tokens
]

/** Places where no plugin can hold the context, and the calls that carry it there. */
export { byHand }

const LIMIT = 30_000

/** Visits the points of one area, each with concurrent requests of at least two tenants. */
export async function visit (area: Area, subject: Subject): Promise<Point[]> {
  const points: Point[] = []
  for (const transport of area.transports) {
    const bench = new Bench(area.name, transport, subject)
    // A promise that never resolves does not keep the process alive. The timer does, and reports where it waited.
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => { reject(new Error(`${area.name} on ${transport} was not done in ${LIMIT} ms`)) }, LIMIT)
    })
    try {
      await Promise.race([area.visit(bench), late])
    } finally {
      clearTimeout(timer)
      await bench.close()
    }
    points.push(...bench.points.values())
  }
  return points
}

/** A row of the table in docs/where-context-holds.md: points that differ only in style. */
export interface Row {
  readonly area: string
  readonly where: string
  readonly over: string
  readonly points: number
  readonly seen: string
}

/** The points as rows, for one version of Node. */
export function rowsOf (points: readonly Point[]): Row[] {
  const groups = new Map<string, Point[]>()
  for (const point of points) {
    const row = `${point.area}: ${whereOf(point)}`
    groups.set(row, [...groups.get(row) ?? [], point])
  }
  return [...groups.values()].map((group) => ({
    area: group[0]!.area,
    where: whereOf(group[0]!),
    over: [...new Set(group.map((point) => point.transport))].join(', '),
    points: group.length,
    seen: seenBy(group)
  }))
}

/** The row of a point. Callback and async hooks, at once and after a wait, share a row, and so do all steps after a hook resumed elsewhere. */
function whereOf ({ area, name }: Point): string {
  if (area === pools.name) return name.replace(/:.*/, ': all that follows')
  return name.replace(/, (?:callback|async|the next one|after a wait)(?=,|$)/g, '')
}

/** `✓` if each request saw its own value; else the number of points where it did not, leaks first. */
function seenBy (points: readonly Point[]): string {
  const counts = (['leak', 'lost'] as const).map((seen) => ({ seen, count: points.filter((point) => point.seen === seen).length })).filter(({ count }) => count > 0)
  if (counts.length === 0) return '✓'
  if (points.length === 1) return points[0]!.seen
  return `${counts.map(({ seen, count }) => `${seen} ${count}`).join(', ')} of ${points.length}`
}
