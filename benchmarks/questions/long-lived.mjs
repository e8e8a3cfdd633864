// What do finished runs leave behind in a scope that lives for days, such as that of a websocket or of a consumer's loop? After 50,000 of them, a value is set
// and a result is looked up, a hundred times, then the event loop turns.
import { AsyncLocalStorage } from 'node:async_hooks'
import { setImmediate as turn } from 'node:timers/promises'
import { bareFastify } from '../peers/bare.mjs'

const RUNS = [0, 50_000]
const A_TURN = 100

const variants = { 'by hand': byHand, 'by hand again': byHand, 'fastify-ctx': ours }

export default {
  name: 'long-lived',
  title: 'A scope that lives long: a set and a memo',
  unit: 'ns',
  base: 'by hand',
  control: 'by hand again',
  count: 50_000,
  leastCount: 50_000,
  warmUp: 50_000,
  mostSets: 1,
  cases: RUNS.map(afterRuns),
  variants: Object.keys(variants),
  // Twice the same differs by up to 20 % from one process to the next.
  goals: [{ of: 'fastify-ctx', from: afterRuns(0), to: afterRuns(50_000), growthAtMost: 1.25, why: 'What the runs leave to the garbage collector is partly collected during the calls that are measured.' }],

  async prepare (variant) {
    const app = bareFastify(false)
    const { run, setAndMemo } = await variants[variant](app)
    app.get('/', async ({ query: { before, count } }) => {
      for (let i = 0; i < before; i++) {
        await run({ step: i }, ofNothing)
        if (i % A_TURN === 0) await turn()
      }
      const began = process.cpuUsage()
      for (let i = 0; i < count; i++) {
        setAndMemo(i)
        if (i % A_TURN === 0) await turn()
      }
      const { user, system } = process.cpuUsage(began)
      return { nanoseconds: (user + system) * 1000 / count }
    })
    await app.ready()
    return Object.fromEntries(RUNS.map((before) => [afterRuns(before), async (count) => {
      const answer = await app.inject(`/?before=${before}&count=${count}`)
      if (answer.statusCode !== 200) throw new Error(answer.body)
      return answer.json().nanoseconds
    }]))
  }
}

function afterRuns (count) {
  return count === 0 ? 'no runs before' : `after ${count.toLocaleString('en')} runs`
}

const ofNothing = async () => {}
const double = (number) => number * 2

async function byHand (app) {
  const als = new AsyncLocalStorage()
  app.addHook('onRequest', (_request, _reply, done) => { als.run({ cache: new Map() }, done) })
  const doubleOnce = (number) => {
    const { cache } = als.getStore()
    if (!cache.has(number)) cache.set(number, double(number))
    return cache.get(number)
  }
  return {
    run: (values, fn) => als.run({ ...als.getStore(), ...values }, fn),
    setAndMemo (i) {
      als.getStore().step = i
      doubleOnce(1)
    }
  }
}

async function ours (app) {
  const { createContext, key } = await import('fastify-ctx')
  const ctx = createContext({ step: key() })
  await app.register(ctx.plugin)
  const doubleOnce = ctx.memo(double)
  return {
    run: (values, fn) => ctx.run(values, fn),
    setAndMemo (i) {
      ctx.set('step', i)
      doubleOnce(1)
    }
  }
}
