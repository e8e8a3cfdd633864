// The core of npm run test:toolchains: the built package in an esbuild bundle, which has no separate files and no import.meta.url.
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import t from 'tap'
// @ts-expect-error It has no types, like every script.
import { judge } from '../toolchains/judge.mjs'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

if (!existsSync(join(ROOT, 'dist/index.js'))) throw new Error('dist/index.js is missing, which is bundled: run `npm run build` first')

for (const format of ['esm', 'cjs'] as const) {
  t.test(`a ${format} bundle returns the same ids, values, log lines and warnings as the package`, async (t) => {
    const file = join(t.testdir(), format === 'esm' ? 'probe.mjs' : 'probe.cjs')
    await build({
      entryPoints: [join(ROOT, 'test/toolchains/probe.mjs')],
      outfile: file,
      format,
      bundle: true,
      platform: 'node',
      logLevel: 'error',
      minify: true,
      banner: format === 'esm' ? { js: "import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url);" } : {}
    })
    const output = await new Promise<string>((resolve) => {
      execFile(process.execPath, [file], { cwd: ROOT, env: { PATH: process.env.PATH, _TAPJS_PROCESSINFO_COVERAGE_: '0' } }, (_error, stdout, stderr) => { resolve(stdout + stderr) })
    })
    t.same(judge(output), [])
  })
}
