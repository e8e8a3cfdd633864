// Runs every case of every variant of every question a few times in this process, and prints what ran as JSON. The tests use it to check that all of them work.
// It measures nothing.
import { runsOn } from './peers.mjs'
import { readQuestions } from './questions.mjs'

const FEW = 8

const tried = {}
for (const question of await readQuestions()) {
  for (const variant of question.variants) {
    if (!runsOn(variant, process.versions.node)) continue
    const cases = await question.prepare(variant)
    for (const [name, run] of Object.entries(cases)) {
      // A figure that a case returns itself is a number of bytes.
      const found = await run(FEW)
      if (found !== undefined && !Number.isFinite(found)) throw new Error(`${question.name}, ${variant}, ${name}: ${found}`)
      const variants = (tried[question.name] ??= {})[name] ??= []
      variants.push(variant)
    }
  }
}
process.stdout.write(JSON.stringify(tried), () => { process.exit() })
