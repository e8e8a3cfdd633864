// The chart of docs/performance.md: what a context adds to a request, and what correlated log lines cost. Its own light background keeps it readable on a dark
// page. Each bar is labelled in words.
import { ratio } from './statistics.mjs'

const WIDTH = 960
const LEFT = 150
const GAP = 14
const BAR = 18
const STEP = 26
/** The space to the right of a bar for its figure. */
const FIGURE = 58

const INK = '#1f2328'
const FAINT = '#57606a'
const GROUND = '#ffffff'
const GRID = '#d0d7de'
const OURS = '#0969da'
const OTHERS = '#8c959f'

/** The rows of the first panel: what each variant adds to which base. */
const ADDED = [
  { label: 'fastify-ctx', variant: 'fastify-ctx', base: 'bare' },
  { label: 'als.run by hand', variant: 'als.run by hand', base: 'bare' },
  { label: 'request-context', variant: 'request-context', base: 'bare' },
  { label: 'nestjs-cls', note: 'of bare Nest', variant: 'nestjs-cls', base: 'bare Nest' }
]

const LOGGED = [
  { label: 'fastify-ctx', variant: 'fastify-ctx' },
  { label: 'als.run + mixin', variant: 'als.run + mixin' },
  { label: 'request-context', note: '+ mixin', variant: 'request-context + mixin' },
  { label: 'bare', note: 'not correlated', variant: 'bare' }
]
const LOG_BASE = 'request-context + mixin'

/** Above this value a bar of the first panel is cut, and only its figure is exact. */
const MOST_ADDED = 0.6
const MOST_LOGGED = 1.25

export function chartOf ({ nodes, questions }) {
  const lines = Object.keys(nodes)
  const parts = []
  let top = 34
  const panel = (title, subtitle, rows, valueOf, scale) => {
    parts.push(text(24, top, title, { size: 17, weight: 600 }), text(24, top + 20, subtitle, { fill: FAINT }))
    top += 50
    parts.push(...drawPanel({ top, lines, rows, valueOf, ...scale }))
    top += rows.length * STEP + 52
  }
  panel('CPU that a context adds to a request', 'GET and POST JSON, by inject and over sockets: the mean of the four. Shorter is better; 0 is Fastify without a context',
    ADDED, (line, row) => addedBy(questions.requests?.[line]?.figures, row), { most: MOST_ADDED, say: signed })
  for (const [name, goal] of [['3 lines', 0.95], ['10 lines', 0.80]]) {
    panel(`CPU of a request that writes ${name.replace('lines', 'correlated log lines')}`, `Of what it costs with @fastify/request-context and a pino mixin. Shorter is better; the dashed line is the goal, ${goal.toFixed(2)}`,
      LOGGED, (line, { variant }) => ratioIn(questions['log-lines']?.[line]?.figures?.[name], variant, LOG_BASE), { most: MOST_LOGGED, say: (value) => value.toFixed(2), goal })
  }
  const height = top - 24
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="CPU time per request with each kind of context, on each Node.js line" font-family="system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif">
<rect x="0.5" y="0.5" width="${WIDTH - 1}" height="${height - 1}" rx="8" fill="${GROUND}" stroke="${GRID}"/>
${parts.join('\n')}
</svg>
`
}

/** Draws one column per Node version, with one bar per row. */
function drawPanel ({ top, lines, rows, valueOf, most, say, goal }) {
  const parts = []
  const width = (WIDTH - LEFT - 24 - GAP * (lines.length - 1)) / lines.length
  const long = width - FIGURE
  const bottom = top + 12 + rows.length * STEP
  rows.forEach(({ label, note }, i) => {
    const y = top + 12 + i * STEP + BAR / 2
    parts.push(text(LEFT - 12, note === undefined ? y + 4 : y - 1, label, { anchor: 'end', weight: i === 0 ? 600 : 400 }))
    if (note !== undefined) parts.push(text(LEFT - 12, y + 10, note, { anchor: 'end', fill: FAINT, size: 10 }))
  })
  lines.forEach((line, column) => {
    const x = round(LEFT + column * (width + GAP))
    const figures = []
    parts.push(text(x, top, `Node ${line}`, { weight: 600 }), `<line x1="${x}" y1="${top + 7}" x2="${x}" y2="${bottom}" stroke="${FAINT}"/>`)
    rows.forEach((row, i) => {
      const y = top + 12 + i * STEP
      const value = valueOf(line, row)
      if (value === undefined) return parts.push(text(x + 6, y + BAR / 2 + 4, '–', { fill: FAINT }))
      const end = round(long * Math.min(Math.max(value, 0), most) / most)
      parts.push(`<rect x="${x}" y="${y}" width="${end}" height="${BAR}" fill="${i === 0 ? OURS : OTHERS}"/>`)
      // A gap near its end shows that a bar is cut.
      if (value > most) parts.push(`<path d="M${round(x + end - 12)} ${y + BAR + 2}l5 -${BAR + 4}h4l-5 ${BAR + 4}z" fill="${GROUND}"/>`)
      figures.push(text(round(x + end + 5), y + BAR / 2 + 4, say(value), { weight: i === 0 ? 600 : 400, halo: true }))
    })
    if (goal !== undefined) {
      const at = round(x + long * goal / most)
      parts.push(`<line x1="${at}" y1="${top + 7}" x2="${at}" y2="${bottom}" stroke="${INK}" stroke-dasharray="3 3"/>`)
    }
    parts.push(...figures)
  })
  return parts
}

/** What a variant adds to its base, as a share of the base: the geometric mean of all cases. */
function addedBy (figures, { variant, base }) {
  const ratios = Object.values(figures ?? {}).map((variants) => ratioIn(variants, variant, base))
  if (ratios.length === 0 || ratios.includes(undefined)) return undefined
  return Math.exp(ratios.reduce((sum, value) => sum + Math.log(value), 0) / ratios.length) - 1
}

function ratioIn (variants, variant, base) {
  return variants?.[variant] === undefined ? undefined : ratio(variants[variant], variants[base]).median
}

function signed (value) {
  const percent = Math.round(100 * value)
  return `${percent < 0 ? '−' : '+'}${Math.abs(percent)} %`
}

function text (x, y, content, { size = 13, weight = 400, fill = INK, anchor = 'start', halo = false } = {}) {
  return `<text x="${x}" y="${y}" font-size="${size}" font-weight="${weight}" fill="${fill}" text-anchor="${anchor}"${halo ? ` stroke="${GROUND}" stroke-width="3" paint-order="stroke"` : ''}>${content}</text>`
}

function round (number) {
  return Number(number.toFixed(1))
}
