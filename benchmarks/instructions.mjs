// Counts instructions instead of time, so that other work on the machine has no effect. Uses callgrind if it is installed.
import { execFile, execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { runsOn } from './peers.mjs'
import { startWorker } from './workers.mjs'

const WARM_UP = 16_000
const BATCHES = 6
const BATCH = 200
/** Processes at a time. */
const AT_ONCE = 2

const run = promisify(execFile)

export function canCount () {
  try {
    execFileSync('callgrind_control', ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/** Thousands of instructions of each variant in each case: the minimum of many batches, without compilation or collection. */
export async function countInstructions (question, node) {
  const { cases, variants } = question.instructions
  const taking = variants.filter((variant) => runsOn(variant, node.version))
  const counts = Object.fromEntries(cases.map((name) => [name, Object.fromEntries(taking.map((variant) => [variant, 0]))]))
  const waiting = cases.flatMap((name) => taking.map((variant) => ({ name, variant })))
  const takeNext = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      counts[next.name][next.variant] = await countVariant(question, node, next)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, takeNext))
  return counts
}

/** Those of one variant in one case, in a separate process. */
async function countVariant (question, node, { name, variant }) {
  const folder = mkdtempSync(join(tmpdir(), 'instructions-'))
  const worker = await startWorker(node.path, question, variant, ['valgrind', '--tool=callgrind', '--instr-atstart=no', '--quiet', `--callgrind-out-file=${join(folder, 'out')}`])
  const pid = String(worker.pid)
  try {
    await worker.warmUp(name, WARM_UP)
    await run('callgrind_control', ['--instr=on', pid])
    // Write the counts so far to a separate file, so that they belong to no batch.
    await run('callgrind_control', ['--dump', pid])
    const before = dumpsIn(folder)
    for (let batch = 0; batch < BATCHES; batch++) {
      await worker.measure(name, BATCH)
      await run('callgrind_control', ['--dump', pid])
    }
    await run('callgrind_control', ['--instr=off', pid])
    const taken = [...dumpsIn(folder)].filter(([file]) => !before.has(file)).map(([, total]) => total)
    return Number((Math.min(...taken) / BATCH / 1000).toFixed(1))
  } finally {
    await worker.stop()
    rmSync(folder, { recursive: true })
  }
}

/** The instructions in each file that callgrind wrote, without empty ones. */
function dumpsIn (folder) {
  const totals = readdirSync(folder).map((file) => [file, Number(/^(?:summary|totals): (\d+)/m.exec(readFileSync(join(folder, file), 'utf8'))?.[1] ?? 0)])
  return new Map(totals.filter(([, total]) => total > 0))
}
