// How tests start other processes, on every system.
import type { ExecFileOptions } from 'node:child_process'
import { Worker } from 'node:worker_threads'

// It is plain JavaScript, which the compiler does not read.
const { programOf } = await import(new URL('../../scripts/tap.mjs', import.meta.url).href) as { programOf: (command: string, args: string[], on?: object) => [string, string[]] }

export { programOf }

/** The options with which Node.js runs a TypeScript file. Node 20 needs help. */
export const LOADER: readonly string[] = (process.features as { typescript?: unknown }).typescript ? [] : ['--import', 'tsx']

/** The environment for a process that is not part of the test run, and does not add to its coverage: tsx shifts the lines of lib. */
export const OUTSIDE: NodeJS.ProcessEnv = withoutRunner(process.env)

function withoutRunner ({ NODE_OPTIONS, NODE_V8_COVERAGE, ...env }: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return { ...env, _TAPJS_PROCESSINFO_COVERAGE_: '0' }
}

/** How a process ended, and what it wrote. */
export interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

const RUN = `
  const { execFile } = require('node:child_process')
  const { parentPort, workerData: { program, args, options } } = require('node:worker_threads')
  execFile(program, args, options, (error, stdout, stderr) => { parentPort.postMessage({ code: error === null ? 0 : error.code, stdout, stderr }) })
`

/**
 * Runs a program without tap's loader. tap adds it to the NODE_OPTIONS of each process that the thread of a test spawns,
 * regardless of the options, so another thread spawns this one.
 */
export async function runWithoutTap (command: string, args: string[], { cwd }: Pick<ExecFileOptions, 'cwd'>): Promise<Outcome> {
  const [program, given] = programOf(command, args)
  const worker = new Worker(RUN, { eval: true, execArgv: [], env: OUTSIDE, workerData: { program, args: given, options: { cwd, maxBuffer: 2 ** 26 } } })
  const outcome = await new Promise<Outcome>((resolve, reject) => { worker.once('message', resolve).once('error', reject) })
  if (typeof outcome.code !== 'number') throw new Error(`${program} did not start: ${String(outcome.code)}`)
  return outcome
}
