// Measures one question on one Node version, case by case: all variants in turn, A/B/A/B, round after round, each in a separate process.
import { runsOn } from './peers.mjs'
import { lowest } from './statistics.mjs'
import { startWorker } from './workers.mjs'

/** Requests before the first round, so that the code is compiled. */
const WARM_UP = 30_000

/** The garbage collections of the warm-up in a quick run. */
const FEW_COLLECTIONS = 4

/**
 * The effort for one question: sets of processes, rounds in each, and the runs of each round and of the warm-up.
 *
 * @param effort sets of processes, rounds in each, which share of a question's runs each round and the warm-up have, and their
 * maximum. Short rounds are no use to some questions, so they have a least number of runs
 */
export function effortFor (question, { sets, rounds, share, most, quick }) {
  return {
    sets: Math.min(sets, question.mostSets ?? sets),
    rounds: Math.min(rounds, question.mostRounds ?? rounds),
    count: Math.ceil(Math.min(most, Math.max(question.count * share, quick ? 0 : question.leastCount ?? 0))),
    // A quick run needs only most of the code compiled.
    warmUp: Math.ceil(Math.min(most, (question.warmUp ?? WARM_UP) * (quick ? share / 4 : share)))
  }
}

/**
 * What each variant cost in each case: one figure per set of processes, the mean of its three lowest rounds. Other programs on a
 * core make a round slower, never faster.
 *
 * @param node `{ path, version }` of a Node binary
 * @param effort as for `effortFor`
 */
export async function measure (question, node, effort) {
  const { sets, rounds, count, warmUp } = effortFor(question, effort)
  const figures = {}
  const variants = question.variants.filter((variant) => runsOn(variant, node.version))
  /** The cases of each variant whose process has started once. */
  const known = new Map()
  // Separate processes for each case, because code that has seen two kinds of requests is slower for both. A quick run saves their time.
  const groups = effort.quick ? [question.quickCases ?? question.cases] : question.cases.map((name) => [name])
  for (let set = 0; set < sets; set++) {
    for (const names of groups) {
      const needed = variants.filter((variant) => known.get(variant)?.some((name) => names.includes(name)) ?? true)
      const workers = await Promise.all(needed.map(async (variant) => ({ variant, worker: await startWorker(node.path, question, variant) })))
      for (const { variant, worker } of workers) known.set(variant, worker.cases)
      try {
        for (const name of names) {
          const taken = await measureCase(name, workers.filter(({ worker }) => worker.cases.includes(name)), { rounds, count, warmUp, collections: effort.quick ? FEW_COLLECTIONS : undefined })
          for (const [variant, costs] of taken) ((figures[name] ??= {})[variant] ??= []).push(rounded(lowest(costs)))
        }
      } finally {
        await Promise.all(workers.map(({ worker }) => worker.stop()))
      }
    }
  }
  return figures
}

/** The cost of each variant in each round. */
async function measureCase (name, workers, { rounds, count, warmUp, collections }) {
  const taken = new Map(workers.map(({ variant }) => [variant, []]))
  if (warmUp > 0) await Promise.all(workers.map(({ worker }) => worker.warmUp(name, warmUp, collections)))
  for (let round = 0; round < rounds; round++) {
    // Each round begins with another variant, so that none always follows the same one.
    for (let i = 0; i < workers.length; i++) {
      const { variant, worker } = workers[(i + round) % workers.length]
      taken.get(variant).push(await worker.measure(name, count))
    }
  }
  return taken
}

/** Four digits, because the others are noise. */
function rounded (figure) {
  return Number(figure.toPrecision(4))
}
