// The table of docs/toolchains.md, which lists what `npm run test:toolchains -- --write` ran.
import { table } from './markdown.mjs'

/** The name of the block. */
export const RECORD = 'what was run'

const HEAD = ['with', 'versions', 'what ran', 'result', 'on Node.js']

/** The rows of the table in a page, by their first cells. */
export function readRows (page) {
  const block = page.split(`<!-- ${RECORD} -->`)[1]?.split(`<!-- end of ${RECORD} -->`)[0] ?? ''
  const lines = block.split('\n').filter((line) => line.startsWith('| ')).slice(2)
  return new Map(lines.map((line) => line.slice(2, -2).split(' | ')).map((cells) => [cells[0], cells]))
}

/** The table with the rows of this run, and earlier rows for what this run skipped. */
export function mergeRows (page, names, ran) {
  const rows = readRows(page)
  for (const [name, { versions, outcomes }] of ran) {
    rows.set(name, [name, versions.join(', ') || '–', Object.keys(outcomes).join('; '), resultOf(outcomes), process.versions.node])
  }
  return table(HEAD, names.filter((name) => rows.has(name)).map((name) => rows.get(name)))
}

/** `passed`, or the cases that did not pass: `failed: ESM; skipped: CJS`. */
function resultOf (outcomes) {
  const other = ['failed', 'skipped'].map((outcome) => [outcome, Object.keys(outcomes).filter((title) => outcomes[title] === outcome)])
  return other.filter(([, titles]) => titles.length > 0).map(([outcome, titles]) => `${outcome}: ${titles.join(', ')}`).join('; ') || 'passed'
}
