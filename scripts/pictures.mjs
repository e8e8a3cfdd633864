// npm run pictures: draws docs/images/*.svg, the pictures of the README and the docs. `lib.svg` is generated from the imports of lib, so it always matches the
// code.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const FOLDER = join(ROOT, 'docs/images')

/** Readable on light and dark pages: each picture has its own background. */
const STYLE = `
    .page { fill: #ffffff; stroke: #d0d7de }
    text { font: 13px system-ui, sans-serif; fill: #1f2328 }
    .title { font-weight: 600; font-size: 15px }
    .small { font-size: 11.5px; fill: #57606a }
    .code { font-family: ui-monospace, monospace; font-size: 12px }
    .box { fill: #f6f8fa; stroke: #8c959f }
    .scope { fill: #ddf4ff; stroke: #0969da }
    .inner { fill: #fff8c5; stroke: #9a6700 }
    .copy { fill: #dafbe1; stroke: #1a7f37 }
    .gone { fill: #ffebe9; stroke: #cf222e }
    .line { stroke: #57606a; fill: none; stroke-width: 1.2 }
    .head { fill: #57606a }
    @media (prefers-color-scheme: dark) {
      .page { fill: #0d1117; stroke: #30363d }
      text { fill: #e6edf3 }
      .small { fill: #9198a1 }
      .box { fill: #151b23; stroke: #656c76 }
      .scope { fill: #0c2d4d; stroke: #4493f8 }
      .inner { fill: #3a2d00; stroke: #d29922 }
      .copy { fill: #0b3018; stroke: #3fb950 }
      .gone { fill: #421418; stroke: #f85149 }
      .line { stroke: #9198a1 }
      .head { fill: #9198a1 }
    }`

/** The pictures by file name. */
export function pictures () {
  return { 'request-life.svg': requestLife(), 'exits.svg': exits(), 'lib.svg': lib() }
}

function requestLife () {
  const phases = [['onRequest', 120], ['body, validation', 124], ['hooks', 66], ['handler', 130], ['serialize, onSend', 130], ['stream', 66], ['onResponse', 96]]
  let x = 30
  const row = phases.map(([name, width]) => {
    const part = box(x, 92, width - 6, 30, 'box', name)
    x += width
    return part
  })
  const end = x
  return svg(900, 430, 'The lifecycle of a request', 'A scope opens in onRequest, is readable in everything that the request runs, and ends when the response is complete and all of its work is done.', [
    text(30, 36, 'The lifecycle of a request', 'title'),
    text(30, 58, 'One scope, no matter who runs the code: Node.js, Fastify, a pool, another request. A client that leaves only aborts ctx.signal.', 'small'),
    text(30, 82, 'time', 'small'), arrow(62, 78, end - 4, 78),
    path(`M ${end - 1} 70 V 340`),
    ...row,
    box(30, 136, 44, 34, 'box', 'seed', 'small'),
    box(80, 136, end - 86, 34, 'scope', "the scope of the request: ctx.get('tenant') is 'acme' in each phase, and on each log line"),
    text(30, 203, 'ctx.run', 'code'), box(340, 184, 130, 30, 'inner', "tenant: 'globex'", 'code'), text(478, 203, 'a child scope, seen inside the function only', 'small'),
    text(30, 243, 'run(values, done)', 'code'), box(282, 224, end - 288, 30, 'inner', 'opened around done in a hook: it holds for the rest of the request'),
    text(30, 283, 'ctx.detach', 'code'), box(400, 264, 470, 30, 'copy', 'a copy that outlives the response: app.close() waits for it'),
    text(30, 323, 'ctx.after', 'code'), box(end + 4, 304, 870 - end - 4, 30, 'copy', 'a copy'),
    text(end + 8, 88, 'the end', 'title'),
    text(end + 8, 108, 'onEnd runs, then', 'small'), text(end + 8, 124, 'after starts', 'small'),
    box(end + 4, 136, 870 - end - 4, 34, 'gone', ['values are', 'dropped'], 'small'),
    box(30, 352, 840, 52, 'box', [
      'The scope ends once: after the response is complete or the connection is gone, and after each hook, handler and stream has settled.',
      'Values are dropped after a complete response. After a lost connection, the code that still runs keeps them.'
    ], 'small')
  ])
}

function exits () {
  const rows = [
    ['log lines', 'log: true, or a mapper', 'request.log, app.log, ctx.log, ctx.mixin'],
    ['jobs, workers', 'carry: true, or { pack, unpack }', 'ctx.dehydrate(), signed or not'],
    ['outgoing requests', 'header, and propagate', 'fetch, undici, ctx.headersFor(url)'],
    ['span attributes', 'log, and otel({ attributes })', 'the span of the request or job'],
    ['the response', 'only the request id', 'x-request-id']
  ]
  return svg(900, 370, 'The exits', 'A value leaves the process only if the policy of its key allows it: on log lines, in envelopes, in outgoing headers and as span attributes. The response contains the request id.', [
    text(30, 36, 'The exits: a value leaves the process only if the policy of its key allows it', 'title'),
    box(30, 76, 160, 228, 'scope', ['the scope', '', "tenant: 'acme'", 'user: { id, email }', "token: 's3cret'"]),
    text(340, 64, 'the policy that opens it', 'small'), text(622, 64, 'the way out', 'small'),
    ...rows.flatMap(([exit, policy, how], i) => {
      const y = 76 + i * 48
      return [text(204, y + 12, exit, 'small'), arrow(190, y + 18, 330, y + 18), box(334, y, 250, 36, 'inner', policy, 'code'), arrow(584, y + 18, 612, y + 18), box(616, y, 254, 36, 'box', how, 'small')]
    }),
    text(30, 340, 'Without a policy there is no exit: token is on no log line, in no job and in no header. ctx.policy() shows this table for your keys.', 'small')
  ])
}

/** The purpose of each folder or file at the root of lib. */
const ROOMS = {
  api: 'the calls of ctx and request.ctx',
  bullmq: 'entry: the jobs of BullMQ',
  cli: 'the command npx fastify-ctx check',
  common: 'errors, warnings, symbols',
  config: 'keys and options, read and checked',
  envelope: 'a scope as text, and back',
  index: 'entry: the plugin and createContext',
  inspect: 'entry: what is in flight',
  lifecycle: 'run, end, detach, cancel',
  logging: 'fields on log lines',
  otel: 'entry: OpenTelemetry',
  patches: 'what is replaced in Fastify and Node.js, and undone',
  plugin: 'register(): hooks, decorators',
  propagation: 'outgoing headers',
  request: 'opening, seeds, required keys',
  scope: 'values, storage, lookup',
  testing: 'entry: the test kit',
  tracing: 'W3C trace context',
  types: 'entry: the types to augment',
  worker: 'entry: threads and processes'
}

/** The rooms of lib, from those that all others import to the entries. */
function lib () {
  const rooms = new Map()
  for (const file of readdirSync(join(ROOT, 'lib'), { recursive: true }).map((name) => name.replaceAll('\\', '/')).filter((name) => name.endsWith('.ts'))) {
    const room = file.split('/')[0].replace(/\.ts$/, '')
    if (!rooms.has(room)) rooms.set(room, { folder: false, imports: new Set() })
    if (file.includes('/')) rooms.get(room).folder = true
    for (const [, imported] of readFileSync(join(ROOT, 'lib', file), 'utf8').matchAll(/from '(\.[^']+)'/g)) {
      const other = posix.join(posix.dirname(file), imported).split('/')[0].replace(/\.ts$/, '')
      if (other !== room) rooms.get(room).imports.add(other)
    }
  }
  const floors = floorsOf(rooms)
  const parts = floors.flatMap((names, i) => {
    const y = 60 + (floors.length - 1 - i) * 58
    const width = (820 - (names.length - 1) * 16) / names.length
    return names.map((name, j) => {
      const { folder } = rooms.get(name)
      const kind = ROOMS[name]?.startsWith('entry') ? 'scope' : 'box'
      const x = 40 + j * (width + 16)
      return box(x, y, width, 44, kind, '') +
        text(x + width / 2, y + 19, folder ? `${name}/` : `${name}.ts`, 'code', 'middle') +
        text(x + width / 2, y + 36, ROOMS[name] ?? '', 'small', 'middle')
    })
  })
  return svg(900, 80 + floors.length * 58, 'The folders of lib', 'The folders of lib. Each one imports only from the folders below it.', [
    text(40, 36, 'The folders of lib: each one imports only from the folders below it', 'title'), ...parts
  ])
}

/** The rooms by floor: each one floor above the highest that it imports from. */
function floorsOf (rooms) {
  const floor = (name) => Math.max(0, ...[...rooms.get(name).imports].map((other) => floor(other) + 1))
  const floors = []
  for (const name of [...rooms.keys()].sort()) (floors[floor(name)] ??= []).push(name)
  return floors
}

function svg (width, height, title, description, parts) {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-labelledby="title description">
  <title id="title">${title}</title>
  <desc id="description">${description}</desc>
  <style>${STYLE}
  </style>
  <defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path class="head" d="M0 0 L8 4 L0 8 z"/></marker></defs>
  <rect class="page" x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="10"/>
${parts.map((part) => `  ${part}`).join('\n')}
</svg>
`
}

function text (x, y, words, kind = '', anchor = 'start') {
  return `<text x="${round(x)}" y="${y}" class="${kind}" text-anchor="${anchor}">${escape(words)}</text>`
}

function box (x, y, width, height, kind, words, style = '') {
  const lines = [words].flat().filter((line, _, all) => all.length > 1 || line !== '')
  const from = y + height / 2 + 4.5 - (lines.length - 1) * 8
  return `<rect class="${kind}" x="${round(x)}" y="${y}" width="${round(width)}" height="${height}" rx="5"/>` +
    lines.map((line, i) => text(x + width / 2, from + i * 16, line, style, 'middle')).join('')
}

function arrow (fromX, fromY, toX, toY) {
  return `<path class="line" d="M ${fromX} ${fromY} L ${toX} ${toY}" marker-end="url(#head)"/>`
}

function path (d) {
  return `<path class="line" d="${d}" stroke-dasharray="4 3"/>`
}

function round (number) {
  return Math.round(number * 10) / 10
}

function escape (words) {
  return words.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  mkdirSync(FOLDER, { recursive: true })
  for (const [name, content] of Object.entries(pictures())) writeFileSync(join(FOLDER, name), content)
}
