// npm run where-context-holds: visits the points of test/integration/points.ts on each supported version of Node, and writes the results to
// docs/where-context-holds.md.
import { readFileSync, writeFileSync } from 'node:fs'
import { replaceBlock, table } from './markdown.mjs'
import { findNode, VERSIONS } from './nodes.mjs'
import { run } from './tap.mjs'

const doc = new URL('../docs/where-context-holds.md', import.meta.url)

const seen = {}
for (const version of VERSIONS) seen[version] = await visitOn(version)

const all = Object.values(seen)
const heads = VERSIONS.map((version) => `Node ${version}`)
const ours = merge(all.map(({ ours }) => ours))
const publicHooks = merge(all.map(({ publicHooks }) => publicHooks))
const before = merge(all.map(({ before }) => before))
const byHand = merge(all.map(({ byHand }) => byHand))

let text = readFileSync(doc, 'utf8')
text = replaceBlock(text, 'totals', table(['', ...heads], [
  ['fastify-ctx', ...all.map(({ ours }) => total(ours))],
  ['fastify-ctx, `reenter: false`', ...all.map(({ publicHooks }) => total(publicHooks))],
  ['@fastify/request-context', ...all.map(({ before }) => total(before))]
]))
text = replaceBlock(text, 'points', table(['where', 'over', 'points', ...heads, '`reenter: false`', '@fastify/request-context'], [...ours].map(([name, rows]) => {
  const { area, where, over, points } = rows.find((row) => row !== undefined)
  return [`${area}: ${where}`, over, points, ...rows.map((row) => row?.seen ?? '–'), each(publicHooks.get(name)), worst(before.get(name))]
})))
text = replaceBlock(text, 'by hand', table(['where', 'by hand', ...heads], [...byHand].map(([, rows]) => {
  const [, where, api] = rows.find((row) => row !== undefined).where.match(/^(.*?)(?:, with (.*))?$/)
  return [where, api === undefined ? '' : `\`${api}\``, ...rows.map((row) => row?.seen ?? '–')]
})))
writeFileSync(doc, text)

async function visitOn (version) {
  const output = []
  const { path } = await findNode(version, output)
  const status = path === undefined ? 1 : await run(path, ['--no-warnings', '--import', 'tsx', 'test/integration/points/print.ts'], process.env, (line) => { output.push(line) })
  const printed = output.find((line) => line.startsWith('{"ours"'))
  if (status !== 0 || printed === undefined) throw new Error(`Node ${version}: ${output.join('\n')}`)
  return JSON.parse(printed)
}

/** The rows of all versions of Node side by side, by name; `undefined` if a version does not have the row. */
function merge (versions) {
  const merged = new Map()
  for (const [i, rows] of versions.entries()) {
    for (const row of rows) {
      const name = `${row.area}: ${row.where}`
      if (!merged.has(name)) merged.set(name, versions.map(() => undefined))
      merged.get(name)[i] = row
    }
  }
  return merged
}

/** How many points a row has, and at how many of them each outcome occurred. A row with one point has no number. */
function countsOf ({ seen, points }) {
  const count = (outcome) => seen === outcome ? 1 : Number(seen.match(new RegExp(`${outcome} (\\d+)`))?.[1] ?? 0)
  return { points, leak: count('leak'), lost: count('lost') }
}

function total (rows) {
  const sum = { points: 0, leak: 0, lost: 0 }
  for (const counts of rows.map(countsOf)) for (const name of Object.keys(sum)) sum[name] += counts[name]
  return `${sum.points - sum.leak - sum.lost} of ${sum.points}, ${sum.lost} lost, ${sum.leak} leaked`
}

/** The results of all versions of Node in one cell: `✓`, or `lost 1 of 3 on Node 20; ✓ on Node 22, 24, 26`. */
function each (rows) {
  const versions = new Map()
  for (const [i, version] of VERSIONS.entries()) {
    const seen = rows[i]?.seen ?? '–'
    versions.set(seen, [...versions.get(seen) ?? [], version])
  }
  return versions.size === 1 ? [...versions.keys()][0] : [...versions].map(([seen, on]) => `${seen} on Node ${on.join(', ')}`).join('; ')
}

/** The result of the version of Node with the worst one. */
function worst (rows = []) {
  const [first] = rows.filter((row) => row !== undefined).sort((a, b) => countsOf(b).leak - countsOf(a).leak || countsOf(b).lost - countsOf(a).lost)
  return first?.seen ?? '–'
}
