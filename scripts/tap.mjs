import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/**
 * Runs tap by `run(args)`, which spawns it with these arguments and returns its exit status, and counts what it says.
 * A run that fails without a failed assertion (coverage, a crash of tap), or in which nothing passed, counts as one
 * failure: zero means all is well.
 *
 * @returns {{ passed: number, failed: number, left: number }} `left`: assertions marked as skip or todo
 */
export function countTap (run) {
  const directory = mkdtempSync(join(tmpdir(), 'fastify-ctx-tap-'))
  const file = join(directory, 'result.tap')
  try {
    const status = run([`--output-file=${file}`])
    const { pass = 0, fail = 0, skip = 0, todo = 0 } = totals(file)
    const sound = status === 0 && pass > 0
    return { passed: pass, failed: sound ? fail : Math.max(fail, 1), left: skip + todo }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

/** Spawns a command of the checkout, with no stdin. */
export function spawn (command, args, options) {
  const root = new URL('..', import.meta.url)
  return spawnSync(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'], shell: process.platform === 'win32', ...options })
}

/** The counts of tap's own last summary, `# { total: 3, pass: 2, fail: 1 }`: one for each assertion. */
function totals (file) {
  let text = ''
  try { text = readFileSync(file, 'utf8') } catch { /* tap did not get as far as a result: nothing passed. */ }
  const summary = text.match(/^# \{ total: .*\}$/gm)?.at(-1) ?? ''
  return Object.fromEntries([...summary.matchAll(/(\w+): (\d+)/g)].map(([, name, count]) => [name, Number(count)]))
}
