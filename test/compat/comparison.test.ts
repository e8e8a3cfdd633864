// The first table of docs/comparison.md is measured: each cell is what that peer shows when it runs.
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { LOADER, OUTSIDE } from '../support/processes.ts'

type Table = Readonly<Record<string, Readonly<Record<string, string>>>>

/** The measured table, by row and peer, from a process without the test runner. */
async function measured (): Promise<Table> {
  const child = fileURLToPath(new URL('comparison-child.ts', import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, ['--no-warnings', ...LOADER, child], { env: OUTSIDE, timeout: 60_000 })
  return JSON.parse(stdout) as Table
}

/** The first table of a comparison page, by row and peer. */
function written (page: string): Table {
  const text = readFileSync(new URL(`../../${page}`, import.meta.url), 'utf8')
  const lines = (/^\| +\| fastify-ctx .*?(?=\n\n)/ms.exec(text)?.[0] ?? '').split('\n')
  const [head = [], , ...rows] = lines.map((line) => line.split('|').slice(1, -1).map((cell) => cell.trim()))
  return Object.fromEntries(rows.map(([row = '', ...cells]) => [row, Object.fromEntries(cells.map((cell, i) => [head[i + 1]!.replaceAll('`', ''), cell]))]))
}

t.test('the first table of docs/comparison.md equals what each peer shows when it runs', async (t) => {
  const [seen, table] = [await measured(), written('docs/comparison.md')]
  t.same(Object.keys(table), Object.keys(seen), 'each row, in this order')
  for (const [row, cells] of Object.entries(seen)) t.same(table[row], cells, row)
})

t.test('the table of the README is a part of it, with the same cells', async (t) => {
  const [readme, page] = [written('README.md'), written('docs/comparison.md')]
  t.ok(Object.keys(readme).length >= 5)
  for (const [row, cells] of Object.entries(readme)) t.same(cells, page[row], row)
})
