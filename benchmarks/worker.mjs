// One variant of one question in a process of its own. Told which case to run, and how often, it answers with what one
// cost: CPU time of this process, or the figure that the case itself found.
import { setTimeout as pause } from 'node:timers/promises'
import v8 from 'node:v8'
import vm from 'node:vm'
import { stopClient } from './load.mjs'

v8.setFlagsFromString('--expose-gc')
const collect = vm.runInNewContext('gc')
/** So many that some of them find no tick alive, whatever a process does besides: four left one in three as it was. */
const COLLECTIONS = 16

const [name, variant] = process.argv.slice(2)
const { default: question } = await import(`./questions/${name}.mjs`)
const cases = await question.prepare(variant)

process.on('message', async ({ run, count, warmUp }) => {
  const figure = warmUp ? await warm(cases[run], count) : await measure(cases[run], count)
  process.send({ figure })
})
process.once('disconnect', () => {
  stopClient()
  process.exit()
})
process.send({ cases: Object.keys(cases) })

/**
 * With collections while nothing runs: where none of Node's ticks is alive in one, `process.nextTick` is slower ever after. So
 * it is for every process that lives long, and so it is to be for all that are compared, not for some by chance.
 */
async function warm (run, count) {
  for (let i = 0; i < COLLECTIONS; i++) {
    await measure(run, count / COLLECTIONS)
    await pause(10)
    collect()
    await pause(10)
  }
  // A collection takes compiled code along, too.
  await measure(run, count)
}

async function measure (run, most) {
  const count = Math.ceil(Math.min(most, run.count ?? most))
  const before = process.cpuUsage()
  const found = await run(count)
  const { user, system } = process.cpuUsage(before)
  // Microseconds, or nanoseconds, each.
  return found ?? (user + system) * (question.unit === 'ns' ? 1000 : 1) / count
}
