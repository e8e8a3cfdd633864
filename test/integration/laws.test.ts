// Tests the three laws of scopes with random programs of requests over sockets, jobs, nested runs, impersonations, branches, detached work and disconnects.
// SEED=n repeats a run, and RUNS=n makes it longer.
import fc from 'fast-check'
import t from 'tap'
import { finishAll, programs } from './laws/commands.ts'
import { Model } from './laws/model.ts'
import { MUTANTS } from './laws/mutants.ts'
import { World } from './laws/world.ts'

const SEED = Number(process.env.SEED ?? 20_261_127)
const RUNS = Number(process.env.RUNS ?? 60)

t.setTimeout(3_600_000)

/** Runs programs until one breaks a law. The search for the shortest such program takes time, so it happens only when a run is repeated. */
async function breakLaws (world: World, endOnFailure = true): Promise<fc.RunDetails<[Iterable<fc.AsyncCommand<Model, World>>]>> {
  return await fc.check(fc.asyncProperty(programs(), async (program) => {
    const model = new Model()
    world.reset()
    try {
      await fc.asyncModelRun(() => ({ model, real: world }), program)
      await finishAll(model, world)
    } catch (error) {
      world.release()
      throw error
    }
  }), { numRuns: RUNS, seed: SEED, endOnFailure })
}

t.test(`no program breaks a law: ${RUNS} programs, seed ${SEED}`, async (t) => {
  const world = await World.start(t)
  const details = await breakLaws(world, process.env.SEED === undefined)
  t.equal(details.failed ? `${fc.defaultReportMessage(details)}\n${String(details.errorInstance)}` : undefined, undefined)
  t.equal(details.numRuns, RUNS)
})

t.test('the programs find the mistake of each broken implementation', async (t) => {
  for (const [mistake, mutate] of Object.entries(MUTANTS)) {
    await t.test(mistake, async (t) => {
      const world = await World.start(t, mutate)
      const { failed, numRuns, errorInstance } = await breakLaws(world)
      t.ok(failed, `found by program ${numRuns}`)
      t.match(errorInstance, { code: 'ERR_ASSERTION' }, 'by what was seen, not by a time limit')
    })
  }
})
