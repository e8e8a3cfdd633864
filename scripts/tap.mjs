import { spawn } from 'node:child_process'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

/** Output without information when all is well: passed assertions in a file, plans, blank lines. */
const QUIET = /^\s+ok \d|^\s*1\.\.\d+$|^\s*$/

/**
 * Runs tap, or a command that runs it, and counts its results, one per assertion. A run that fails without a failed assertion
 * (coverage, a crash of tap), or in which nothing passed, counts as one failure. So `failed: 0` means that all is well.
 *
 * @param say called with each line of its output that is worth reading
 * @returns `left`: the number of assertions marked as skip or todo
 */
export async function runTap (command, args, say, env = process.env) {
  let summary = ''
  // The other reporters draw for a terminal, and omit failures without one.
  const status = await run(command, [...args, '--reporter=tap'], env, (line) => {
    if (line.startsWith('# { total: ')) summary = line
    if (!QUIET.test(line)) say(line)
  })
  const { pass = 0, fail = 0, skip = 0, todo = 0 } = Object.fromEntries([...summary.matchAll(/(\w+): (\d+)/g)].map(([, name, count]) => [name, Number(count)]))
  const sound = status === 0 && pass > 0
  return { passed: pass, failed: sound ? fail : Math.max(fail, 1), left: skip + todo }
}

/**
 * A command with arguments that every system can start without a shell. On Windows `npm` and `npx` are batch files, which
 * Node.js does not spawn. npm passes the path of its program to its children. Otherwise it is next to Node.js.
 */
export function programOf (command, args, { platform = process.platform, env = process.env, node = process.execPath } = {}) {
  if (command !== 'npm' && command !== 'npx') return [command, args]
  if (platform !== 'win32' && env.npm_execpath === undefined) return [command, args]
  const cli = env.npm_execpath ?? join(dirname(node), 'node_modules/npm/bin/npm-cli.js')
  // Another package manager may have started this process. Its program takes other arguments.
  if (!/npm-cli\.[cm]?js$/.test(cli)) return [command, args]
  return [node, [cli.replace(/npm-cli(?=\.[cm]?js$)/, `${command}-cli`), ...args]]
}

/**
 * Runs a command in the checkout, or in another folder, with no stdin.
 *
 * @param say called with each line of its output; by default the output goes to this process's stdout
 * @returns its exit status, or the error that prevented it from running
 */
export async function run (command, args, env = process.env, say = undefined, { cwd = ROOT, timeout = 0 } = {}) {
  const output = say === undefined ? 'inherit' : 'pipe'
  const child = spawn(...programOf(command, args), { cwd, env, timeout, stdio: ['ignore', output, output] })
  for (const stream of [child.stdout, child.stderr]) {
    if (stream !== null) createInterface({ input: stream }).on('line', say)
  }
  return await new Promise((resolve) => {
    child.once('error', (error) => {
      (say ?? console.error)(error.message)
      resolve(error.code)
    })
    child.once('close', (status, signal) => { resolve(status ?? signal) })
  })
}
