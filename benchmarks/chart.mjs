// The first picture of docs/performance.md: the CPU time of a request as a ratio to @fastify/request-context, which stands at 1. One bar for each Node version.
import { ratio } from './statistics.mjs'
import { line, picture, round, text, WIDTH } from './svg.mjs'

const ROWS = [
  { title: 'GET', question: 'requests', case: 'GET over sockets', base: 'request-context', goal: 1 },
  { title: 'POST', question: 'requests', case: 'POST over sockets', base: 'request-context', goal: 1 },
  { title: 'a handler that awaits 20 times', question: 'awaits', case: '20 awaits', base: 'request-context', goal: 1 },
  { title: '3 log lines', question: 'log-lines', case: '3 lines', base: 'request-context + mixin', goal: 0.95 },
  { title: '10 log lines', question: 'log-lines', case: '10 lines', base: 'request-context + mixin', goal: 0.80 }
]

const MARGIN = 20
const LEFT = 84
/** The space to the right of a bar for its figure. */
const FIGURE = 60
const BAR = 11
const STEP = 17
/** Above this value a bar ends, and only its figure is exact. */
const MOST = 1.5
const SCALE = (WIDTH - LEFT - FIGURE) / MOST

export function chartOf ({ nodes, questions }) {
  const parts = [
    text(MARGIN, 32, 'CPU time of a request with fastify-ctx', 'title'),
    text(MARGIN, 54, '1.00 is the same request with @fastify/request-context,', 'small'),
    text(MARGIN, 70, 'for log lines with a pino mixin. Shorter is better.', 'small')
  ]
  let top = 98
  for (const row of ROWS) {
    const end = top + 8 + Object.keys(nodes).length * STEP
    parts.push(text(MARGIN, top, row.title, 'strong'), text(WIDTH - MARGIN, top, `goal: at most ${row.goal.toFixed(2)}`, 'small', 'end'))
    parts.push(line(LEFT, top + 6, LEFT, end, 'axis'), line(LEFT + SCALE, top + 6, LEFT + SCALE, end, 'grid'))
    Object.keys(nodes).forEach((node, i) => { parts.push(...barOf(node, top + 10 + i * STEP, questions[row.question]?.[node]?.figures?.[row.case], row)) })
    parts.push(line(LEFT + row.goal * SCALE, top + 6, LEFT + row.goal * SCALE, end, 'goal'))
    top = end + 28
  }
  parts.push(`<rect class="mark" x="${MARGIN}" y="${top - 14}" width="2" height="${BAR}"/>`, text(MARGIN + 10, top - 4, 'Fastify without a context', 'small'))
  parts.push(line(WIDTH / 2, top - 16, WIDTH / 2, top - 2, 'goal'), text(WIDTH / 2 + 10, top - 4, 'the goal', 'small'))
  return picture(top + 14, 'CPU time of a request with fastify-ctx on each Node.js line, as a ratio to the same request with @fastify/request-context', parts)
}

/** The bar of one Node version, its figure, and a mark for Fastify without a context. */
function barOf (node, y, figures, { base }) {
  const label = text(LEFT - 8, y + BAR - 1, `Node ${node}`, 'small', 'end')
  if (figures === undefined) return [label, text(LEFT + 6, y + BAR - 1, '–', 'small')]
  const value = ratio(figures['fastify-ctx'], figures[base]).median
  const bare = LEFT + SCALE * ratio(figures.bare, figures[base]).median
  const long = SCALE * Math.min(value, MOST)
  return [
    label,
    `<rect class="bar" x="${LEFT}" y="${y}" width="${round(long)}" height="${BAR}"/>`,
    `<rect class="mark" x="${round(bare - 1)}" y="${y}" width="2" height="${BAR}"/>`,
    text(WIDTH - MARGIN, y + BAR - 1, value.toFixed(2), '', 'end')
  ]
}
