// The core of npm run test:toolchains: the built package in an esbuild bundle, which has no separate files and no import.meta.url.
// It also checks that docs/toolchains.md lists the whole matrix, and that all of it passed.
import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import t from 'tap'
// @ts-expect-error It has no types, like every script.
import { readRows } from '../../scripts/toolchains-record.mjs'
// @ts-expect-error It has no types.
import { bundles } from '../toolchains/bundles.mjs'
// @ts-expect-error It has no types.
import { compilers } from '../toolchains/compilers.mjs'
// @ts-expect-error It has no types.
import { judge } from '../toolchains/judge.mjs'
// @ts-expect-error It has no types.
import { libraries } from '../toolchains/libraries.mjs'
// @ts-expect-error It has no types.
import { managers, runners, runtimes } from '../toolchains/programs.mjs'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

if (!existsSync(join(ROOT, 'dist/index.js'))) throw new Error('dist/index.js is missing, which is bundled: run `npm run build` first')

for (const format of ['esm', 'cjs'] as const) {
  t.test(`a minified ${format} bundle returns the same ids, values, log lines and warnings as the package`, async (t) => {
    const name = format === 'esm' ? 'bundle.mjs' : 'bundle.cjs'
    const file = join(t.testdir(), name)
    const bundle = async (sourcemap: boolean): Promise<unknown> => await build({
      entryPoints: [join(ROOT, 'test/toolchains/probe.mjs')],
      outfile: file,
      format,
      bundle: true,
      platform: 'node',
      logLevel: 'error',
      minify: true,
      sourcemap,
      banner: format === 'esm' ? { js: "import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url);" } : {}
    })
    await bundle(false)
    t.same(judge(await print(file), new RegExp(`${name.replace('.', '\\.')}:\\d+:\\d+`)), [], 'a warning names the line of the bundle')
    await bundle(true)
    t.same(judge(await print('--enable-source-maps', file)), [], 'and with a source map the line of the application')
  })
}

t.test('docs/toolchains.md lists each case of the matrix as passed or skipped, with its versions', async (t) => {
  const groups = [...compilers, ...bundles, ...runtimes, ...runners, ...managers, ...libraries] as Group[]
  const rows = readRows(readFileSync(join(ROOT, 'docs/toolchains.md'), 'utf8')) as Map<string, string[]>
  // The cases are created, but not run.
  const kit = { fixtures: join(ROOT, 'test/toolchains') }
  t.same([...rows.keys()], groups.map(({ name }) => name))
  for (const { name, tools, cases } of groups) {
    const [, versions = '', ran, result = ''] = rows.get(name) ?? []
    t.equal(ran, Object.keys(cases(kit, ROOT)).join('; '), name)
    t.match(result, /^(?:passed|skipped: .+)$/, name)
    for (const tool of tools) {
      const [, packageName, range = ''] = /^(.+?)(?:@([^@/]+))?$/.exec(tool)!
      t.ok(versions.split(', ').some((version) => version.startsWith(`${packageName} ${range}`)), `${name}: ${tool}`)
    }
  }
})

interface Group { readonly name: string, readonly tools: string[], readonly cases: (kit: object, folder: string) => object }

/** The output of Node.js. */
async function print (...args: string[]): Promise<string> {
  return await new Promise((resolve) => {
    execFile(process.execPath, args, { cwd: ROOT, env: { PATH: process.env.PATH, _TAPJS_PROCESSINFO_COVERAGE_: '0' } }, (_error, stdout, stderr) => { resolve(stdout + stderr) })
  })
}
