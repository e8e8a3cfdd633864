// The testing kit in a project per test runner, with the built package in its node_modules.
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))

if (!existsSync(`${ROOT}dist/testing.js`)) throw new Error('dist/testing.js is missing, which the runners import: run `npm run build` first')

t.setTimeout(300_000)

/** The command that runs the tests of a project, and how its output counts them. */
const RUNNERS: Readonly<Record<string, { readonly args: readonly string[], readonly all: RegExp, readonly allButOne: RegExp }>> = {
  'node-test': { args: ['--test', '--test-reporter=tap', 'orders.test.mjs'], all: /^# pass 7$.*^# fail 0$/ms, allButOne: /^# pass 6$.*^# fail 1$/ms },
  tap: { args: ['node_modules/tap/dist/esm/run.mjs', '--disable-coverage', '--reporter=tap', 'orders.test.mjs'], all: /^# \{ total: 7, pass: 7 \}$/m, allButOne: /^# \{ total: 7, pass: 6, fail: 1 \}$/m },
  vitest: { args: ['node_modules/vitest/vitest.mjs', 'run', '--no-color'], all: /Tests {2}5 passed \(5\)/, allButOne: /Tests {2}1 failed \| 4 passed \(5\)/ },
  jest: { args: ['--experimental-vm-modules', 'node_modules/jest/bin/jest.js'], all: /Tests: {7}5 passed, 5 total/, allButOne: /Tests: {7}1 failed, 4 passed, 5 total/ }
}

/** Runs the tests of a project without the environment of this test. */
async function run (project: string, args: readonly string[], shared: boolean): Promise<{ readonly failed: boolean, readonly output: string }> {
  // Without tap's coverage, which would count dist next to lib.
  const env = { PATH: `${dirname(process.execPath)}${delimiter}${process.env.PATH}`, HOME: project, NO_COLOR: '1', SHARED: shared ? '1' : '0', _TAPJS_PROCESSINFO_COVERAGE_: '0' }
  return await new Promise((resolve) => {
    execFile(process.execPath, [...args], { cwd: project, env, timeout: 120_000, maxBuffer: 1e8 }, (error, stdout, stderr) => {
      resolve({ failed: error !== null, output: stdout + stderr })
    })
  })
}

for (const [runner, { args, all, allButOne }] of Object.entries(RUNNERS)) {
  t.test(`the testing kit works under ${runner}`, async (t) => {
    const project = await mkdtemp(join(tmpdir(), 'fastify-ctx-runner-'))
    t.teardown(() => rm(project, { recursive: true, force: true }))
    await writeFile(join(project, 'package.json'), '{ "type": "module", "private": true }')
    await mkdir(join(project, 'node_modules/@jest'), { recursive: true })
    await symlink(ROOT, join(project, 'node_modules/fastify-ctx'))
    for (const name of ['fastify', 'vitest', 'jest', 'tap', '@jest/globals']) await symlink(join(ROOT, 'node_modules', name), join(project, 'node_modules', name))
    await cp(join(ROOT, 'test/compat/runners/app.mjs'), join(project, 'app.mjs'))
    await cp(join(ROOT, `test/compat/runners/${runner}.mjs`), join(project, 'orders.test.mjs'))

    const passing = await run(project, args, false)
    t.equal(passing.failed, false, 'each test passes')
    t.match(passing.output, all)

    const failing = await run(project, args, true)
    t.equal(failing.failed, true, 'a value that requests share fails the run')
    t.match(failing.output, allButOne)
    t.match(failing.output, /request \d+, GET \/orders, saw the value of request \d+, GET \/orders\s+in the body of its\s+answer, at tenant/)
    t.match(failing.output, /assertIsolated\(app,\s+requests, \{ seed: \d+ \}\)/, 'the report says how to repeat it')
    t.match(failing.output, /orders\.test\.mjs/, 'and where it was called')
  })
}
