// Asks one question on one Node, case by case: all variants in turn, A/B/A/B, round after round, each in a process of its own.
import { runsOn } from './peers.mjs'
import { lowest } from './statistics.mjs'
import { startWorker } from './workers.mjs'

/** Requests before the first round, so that what is measured is compiled. */
const WARM_UP = 30_000

/**
 * What each variant cost in each case: one figure for each set of processes, the mean of its three lowest rounds. What
 * another program takes of a core makes a round dearer, never cheaper.
 *
 * @param node `{ path, version }` of a Node
 * @param effort sets of processes, rounds in each, rounds which share of what a question wants in a round and
 * before the first, and at most how many
 */
export async function measure (question, node, { sets, rounds, share, most, quick }) {
  const count = Math.min(most, question.count * share)
  // A quick look needs no more than that most is compiled.
  const warmUp = Math.min(most, (question.warmUp ?? WARM_UP) * (quick ? share / 4 : share))
  const figures = {}
  const variants = question.variants.filter((variant) => runsOn(variant, node.version))
  const last = Math.min(rounds, question.mostRounds ?? rounds)
  for (let set = 0; set < sets; set++) {
    for (const name of quick ? question.quickCases ?? question.cases : question.cases) {
      // Processes of its own for each case: code that has seen requests of two kinds is slower for both.
      const workers = await Promise.all(variants.map(async (variant) => ({ variant, worker: await startWorker(node.path, question, variant) })))
      try {
        const taking = workers.filter(({ worker }) => worker.cases.includes(name))
        const seen = new Map(taking.map(({ variant }) => [variant, []]))
        if (warmUp > 0) await Promise.all(taking.map(({ worker }) => worker.warmUp(name, warmUp)))
        for (let round = 0; round < last; round++) {
          // Each round begins with another, so that none always follows the same.
          for (let i = 0; i < taking.length; i++) {
            const { variant, worker } = taking[(i + round) % taking.length]
            seen.get(variant).push(await worker.measure(name, count))
          }
        }
        for (const [variant, taken] of seen) ((figures[name] ??= {})[variant] ??= []).push(rounded(lowest(taken)))
      } finally {
        await Promise.all(workers.map(({ worker }) => worker.stop()))
      }
    }
  }
  return figures
}

/** Four digits: the others are noise. */
function rounded (figure) {
  return Number(figure.toPrecision(4))
}
