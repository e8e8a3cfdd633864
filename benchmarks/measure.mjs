// Measures one question on one Node version, case by case: all variants in turn, A/B/A/B, round after round, each in a separate process.
import { runsOn } from './peers.mjs'
import { lowest } from './statistics.mjs'
import { startWorker } from './workers.mjs'

/** Requests before the first round, so that the code is compiled. */
const WARM_UP = 30_000

/**
 * What each variant cost in each case: one figure per set of processes, the mean of its three lowest rounds. Other programs on a
 * core make a round slower, never faster.
 *
 * @param node `{ path, version }` of a Node binary
 * @param effort sets of processes, rounds in each, which share of a question's requests each round and the warm-up use, and their
 * maximum
 */
export async function measure (question, node, { sets, rounds, share, most, quick }) {
  const count = Math.min(most, question.count * share)
  // A quick run needs only most of the code compiled.
  const warmUp = Math.min(most, (question.warmUp ?? WARM_UP) * (quick ? share / 4 : share))
  const figures = {}
  const variants = question.variants.filter((variant) => runsOn(variant, node.version))
  const last = Math.min(rounds, question.mostRounds ?? rounds)
  for (let set = 0; set < sets; set++) {
    for (const name of quick ? question.quickCases ?? question.cases : question.cases) {
      // Separate processes for each case, because code that has seen two kinds of requests is slower for both.
      const workers = await Promise.all(variants.map(async (variant) => ({ variant, worker: await startWorker(node.path, question, variant) })))
      try {
        const taking = workers.filter(({ worker }) => worker.cases.includes(name))
        const seen = new Map(taking.map(({ variant }) => [variant, []]))
        if (warmUp > 0) await Promise.all(taking.map(({ worker }) => worker.warmUp(name, warmUp)))
        for (let round = 0; round < last; round++) {
          // Each round begins with another variant, so that none always follows the same one.
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

/** Four digits, because the others are noise. */
function rounded (figure) {
  return Number(figure.toPrecision(4))
}
