// npm run bench                 each question on each available Node version: about an hour
// npm run bench -- --quick      each question on this Node, in few rounds: under a minute
// npm run bench -- --save       saves the results in benchmarks/results.json, and writes docs/performance.md from them, after each question. An interrupted run
//                               keeps what it has measured
//
// --questions requests,memory   only these questions
// --nodes 20,24                 only these Node versions
// --sets 5 --rounds 12          more sets and rounds, for a busy machine
// --share 0.5                   half of the requests in each round, and of the warm-up
// --requests 50                 at most this many requests in a round, to check that everything works, as the tests do
// --no-instructions             only CPU time, even if valgrind is installed
// --instructions-only           only instructions
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
    share: { type: 'string' },
    instructions: { type: 'boolean', default: true },
    'instructions-only': { type: 'boolean', default: false }
  }
})

if (options.quick && options.save) throw new Error('--quick leaves out cases and is too coarse to save: use --share, --sets and --rounds instead')

const start = Date.now()
const effort = {
  sets: Number(options.sets ?? (options.quick ? 1 : 2)),
  rounds: Number(options.rounds ?? (options.quick ? 2 : 6)),
  quick: options.quick,
  share: Number(options.share ?? (options.quick ? 0.05 : 1)),
  most: Number(options.requests ?? Infinity)
}
const questions = await readQuestions(options.questions?.split(','))
const counting = options.instructions && !options.quick && options.requests === undefined && canCount()

console.log('CPU time of the measured process, user and system: the mean of its three lowest rounds, variants in turn;')
console.log(`${effort.sets} set(s) of processes, ${effort.rounds} rounds each: the median, and its spread. The control repeats another variant: any difference is noise.`)
if (options.quick) console.log('QUICK: few and short rounds. Enough to see that everything works and which costs are large; too few to judge a goal.')

for (const wanted of options.nodes?.split(',') ?? (options.quick ? [process.versions.node] : VERSIONS)) {
  const node = await findNode(wanted, [])
  const [line] = wanted.split('.')
  if (node.path === undefined) {
    console.log(`\nNode ${wanted} is not available: skipped`)
    continue
  }
  for (const question of questions) {
    if (!options['instructions-only']) {
      const figures = await measure(question, node, effort)
      printQuestion(question, line, figures)
      console.log(`  ${Math.round((Date.now() - start) / 1000)} s`)
      if (options.save) await save({ question, line, node, effort, figures })
    }
    if (counting && question.instructions !== undefined) {
      const instructions = await countInstructions(question, node)
      printInstructions(question, line, instructions)
      if (options.save) await save({ question, line, node, instructions })
    }
  }
}
console.log(`\n${Math.round((Date.now() - start) / 1000)} s`)

/** The saved results and the page always match. */
async function save (result) {
  keep(result)
  await writeReport()
}
