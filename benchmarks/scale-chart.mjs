// The second picture of docs/performance.md: how the CPU time of a request grows with what it does. Both axes are logarithmic, and a flat curve means no growth.
import { readQuestions } from './questions.mjs'
import { summary } from './statistics.mjs'
import { line, picture, round, text, WIDTH } from './svg.mjs'

const PANELS = [
  { name: 'concurrency', title: 'Requests at once', peer: 'request-context', unit: 'at once' },
  { name: 'keys', title: 'Keys that a request seeds and reads', peer: 'request-context', unit: 'used' },
  { name: 'scopes', title: 'Nested scopes', peer: 'als.run by hand', unit: 'nested' }
]

const MARGIN = 20
const LEFT = 78
const RIGHT = WIDTH - 30
const PLOT = 130
const TICKS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000]

export async function scaleChartOf ({ questions }) {
  const parts = [
    text(MARGIN, 32, 'How a request grows', 'title'),
    text(MARGIN, 54, 'µs of CPU time, the median of all Node.js lines. Both axes are', 'small'),
    text(MARGIN, 70, 'logarithmic. The dotted line repeats bare Fastify: it is the noise.', 'small')
  ]
  let top = 100
  for (const panel of PANELS) {
    const [question] = await readQuestions([panel.name])
    parts.push(text(MARGIN, top, panel.title, 'strong'), ...legendOf(panel, top + 20), ...plotOf(panel, top + 34, pointsOf(question, panel, questions[panel.name] ?? {})))
    top += 34 + PLOT + 56
  }
  return picture(top - 16, 'CPU time of a request by the number of requests at once, of keys, and of nested scopes, with each kind of context', parts)
}

function kindsOf ({ peer }) {
  return { bare: 'bare', 'bare again': 'control', [peer]: 'peer', 'fastify-ctx': 'ours' }
}

function legendOf (panel, y) {
  let x = MARGIN
  return Object.entries(kindsOf(panel)).reverse().filter(([, kind]) => kind !== 'control').flatMap(([variant, kind]) => {
    const entry = [line(x, y - 4, x + 18, y - 4, kind), text(x + 24, y, variant, 'small')]
    x += 44 + variant.length * 7
    return entry
  })
}

/** Each point of each curve: how many, and the cost on the median Node version. */
function pointsOf ({ cases }, panel, byLine) {
  return Object.fromEntries(Object.keys(kindsOf(panel)).map((variant) => [variant, cases.filter((name) => name.endsWith(` ${panel.unit}`)).flatMap((name) => {
    const costs = Object.values(byLine).map(({ figures }) => figures?.[name]?.[variant]).filter((taken) => taken !== undefined).map((taken) => summary(taken).median)
    return costs.length === 0 ? [] : [{ many: parseInt(name), cost: summary(costs).median }]
  })]))
}

function plotOf (panel, top, curves) {
  const points = Object.values(curves).flat()
  if (points.length === 0) return [text(LEFT, top + 20, '–', 'small')]
  const many = [...new Set(points.map((point) => point.many))]
  const costs = points.map(({ cost }) => cost)
  const low = TICKS.findLast((tick) => tick <= Math.min(...costs)) ?? TICKS[0]
  const high = TICKS.find((tick) => tick >= Math.max(...costs)) ?? TICKS.at(-1)
  const x = (value) => LEFT + (RIGHT - LEFT) * along(value, many[0], many.at(-1))
  const y = (value) => top + PLOT * (1 - along(value, low, high))
  const steps = TICKS.filter((tick) => tick >= low && tick <= high)
  // With many steps, their labels would overlap.
  const labelled = steps.filter((tick) => steps.length < 6 || Number.isInteger(Math.log10(tick)))
  return [
    ...steps.map((tick) => line(LEFT, y(tick), RIGHT, y(tick), 'grid')),
    ...labelled.map((tick) => text(LEFT - 8, y(tick) + 4, `${tick.toLocaleString('en')} µs`, 'small', 'end')),
    ...many.map((value) => text(x(value), top + PLOT + 20, value.toLocaleString('en'), 'small', 'middle')),
    ...Object.entries(kindsOf(panel)).map(([variant, kind]) => `<polyline class="${kind}" points="${curves[variant].map((point) => `${round(x(point.many))},${round(y(point.cost))}`).join(' ')}"/>`)
  ]
}

/** Where a value lies between two others on a logarithmic axis: 0 to 1. */
function along (value, low, high) {
  return Math.log(value / low) / Math.log(high / low)
}
