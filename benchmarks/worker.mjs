// Runs one variant of one question in a separate process. It is sent a case and a number of runs, and replies with the cost of one: CPU time of this process,
// or a figure that the case returns.
import { setTimeout as pause } from 'node:timers/promises'
import v8 from 'node:v8'
import vm from 'node:vm'
import { stopClient } from './load.mjs'

v8.setFlagsFromString('--expose-gc')
const collect = vm.runInNewContext('gc')
const [name, variant] = process.argv.slice(2)
const { default: question } = await import(`./questions/${name}.mjs`)
const cases = await question.prepare(variant)

process.on('message', async ({ run, count, collections }) => {
  const figure = collections !== undefined ? await warm(cases[run], count, collections) : await measure(cases[run], count)
  process.send({ figure })
})
process.once('disconnect', () => {
  stopClient()
  process.exit()
})
process.send({ cases: Object.keys(cases) })

/**
 * Collects while nothing runs. After a collection without a live tick object, `process.nextTick` stays slower. In every
 * long-lived process this happens some time, so it must happen in all compared processes, not in some by chance.
 */
async function warm (run, count, collections) {
  for (let i = 0; i < collections; i++) {
    await measure(run, count / collections)
    await pause(10)
    collect()
    await pause(10)
  }
  // A collection also discards compiled code.
  await measure(run, count)
}

async function measure (run, most) {
  const count = Math.ceil(Math.min(most, run.count ?? most))
  const before = process.cpuUsage()
  const found = await run(count)
  const { user, system } = process.cpuUsage(before)
  // Microseconds or nanoseconds per run.
  return found ?? (user + system) * (question.unit === 'ns' ? 1000 : 1) / count
}
