// One variant of one question in a process of its own. Told which case to run, and how often, it answers with what one
// cost: CPU time of this process, or the figure that the case itself found.
import { stopClient } from './load.mjs'

const [name, variant] = process.argv.slice(2)
const { default: question } = await import(`./questions/${name}.mjs`)
const cases = await question.prepare(variant)

process.on('message', async ({ run, count }) => {
  const figure = await measure(cases[run], count)
  process.send({ figure })
})
process.once('disconnect', () => {
  stopClient()
  process.exit()
})
process.send({ cases: Object.keys(cases) })

async function measure (run, most) {
  const count = Math.min(most, run.count ?? most)
  const before = process.cpuUsage()
  const found = await run(count)
  const { user, system } = process.cpuUsage(before)
  // Microseconds, or nanoseconds, each.
  return found ?? (user + system) * (question.unit === 'ns' ? 1000 : 1) / count
}
