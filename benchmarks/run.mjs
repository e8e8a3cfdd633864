// npm run bench                 each question on each Node line that is there: about an hour
// npm run bench -- --quick      each question on this Node, in few rounds: under a minute
// npm run bench -- --save       keeps the results in benchmarks/results.json, and makes docs/performance.md of them
//
// --questions requests,memory   these questions
// --nodes 20,24                 these Node lines
// --sets 5 --rounds 12          more of each, for a machine that is not quiet
// --requests 50                 at most so many in a round: to try that all works, as the tests do
// --no-instructions             CPU time alone, where valgrind is there
// --instructions-only           instructions alone
import { parseArgs } from 'node:util'
import { findNode, VERSIONS } from '../scripts/nodes.mjs'
import { canCount, countInstructions } from './instructions.mjs'
import { measure } from './measure.mjs'
import { readQuestions } from './questions.mjs'
import { writeReport } from './report.mjs'
import { keep } from './results.mjs'
import { printInstructions, printQuestion } from './table.mjs'

const { values: options } = parseArgs({
  allowNegative: true,
  options: {
    quick: { type: 'boolean', default: false },
    save: { type: 'boolean', default: false },
    questions: { type: 'string' },
    nodes: { type: 'string' },
    sets: { type: 'string' },
    rounds: { type: 'string' },
    requests: { type: 'string' },
    instructions: { type: 'boolean', default: true },
    'instructions-only': { type: 'boolean', default: false }
  }
})

const start = Date.now()
const effort = {
  sets: Number(options.sets ?? (options.quick ? 1 : 2)),
  rounds: Number(options.rounds ?? (options.quick ? 3 : 6)),
  quick: options.quick,
  share: options.quick ? 0.15 : 1,
  most: Number(options.requests ?? Infinity)
}
const questions = await readQuestions(options.questions?.split(','))
const counting = options.instructions && !options.quick && options.requests === undefined && canCount()

console.log('CPU time of the process that is measured, user and system: the mean of the three lowest of its rounds, variants in turn;')
console.log(`${effort.sets} set(s) of processes, ${effort.rounds} rounds each: the median, and its spread. The control repeats another: what differs is noise.`)
if (options.quick) console.log('QUICK: few and short rounds. Good to see that all works and what is large; good for no goal.')

for (const wanted of options.nodes?.split(',') ?? (options.quick ? [process.versions.node] : VERSIONS)) {
  const node = await findNode(wanted, [])
  const [line] = wanted.split('.')
  if (node.path === undefined) {
    console.log(`\nNode ${wanted} is not there: left out`)
    continue
  }
  for (const question of questions) {
    if (!options['instructions-only']) {
      const figures = await measure(question, node, effort)
      printQuestion(question, line, figures)
      console.log(`  ${Math.round((Date.now() - start) / 1000)} s`)
      if (options.save) keep({ question, line, node, effort, figures })
    }
    if (counting && question.instructions !== undefined) {
      const instructions = await countInstructions(question, node)
      printInstructions(question, line, instructions)
      if (options.save) keep({ question, line, node, instructions })
    }
  }
}
if (options.save) await writeReport()
console.log(`\n${Math.round((Date.now() - start) / 1000)} s`)
