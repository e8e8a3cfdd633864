// What does a nested run cost, in a request and in a job? Its scope has 2 or 50 keys, and the run replaces the value of one. By hand, it is `als.run` with a
// copy of the store. Each runs a hundred times in a scope, then the event loop turns.
import { AsyncLocalStorage } from 'node:async_hooks'
import { setImmediate as turn } from 'node:timers/promises'
import { bareFastify } from '../peers/bare.mjs'

const KEYS = [2, 50]
const A_SCOPE = 100

const variants = { 'by hand': byHand, 'by hand again': byHand, 'fastify-ctx': ours }

const WHY = 'The code by hand is one copy and one call. A run also checks its keys, can end, and checks whether its result is a promise. In a request, it must be found at the end of the request as long as a timer or listener keeps it.'

export default {
  name: 'runs',
  title: 'A nested run',
  unit: 'ns',
  mostSets: 2,
  base: 'by hand',
  control: 'by hand again',
  count: 100_000,
  leastCount: 100_000,
  warmUp: 100_000,
  cases: KEYS.flatMap((count) => [`${count} keys, in a request`, `${count} keys, in a job`]),
  quickCases: ['2 keys, in a request', '50 keys, in a job'],
  variants: Object.keys(variants),
  goals: [
    { of: 'fastify-ctx', against: 'by hand', atMost: 3, cases: ['2 keys, in a request', '2 keys, in a job'], why: WHY },
    { of: 'fastify-ctx', against: 'by hand', atMost: 5, cases: ['50 keys, in a request', '50 keys, in a job'], why: WHY }
  ],

  async prepare (variant) {
    const cases = {}
    for (const count of KEYS) {
      const values = Object.fromEntries(Array.from({ length: count }, (_, i) => [`key${i}`, i]))
      const app = bareFastify(false)
      const { run, job } = await variants[variant](app, values)
      const work = async (runs) => {
        for (let done = 0; done < runs; done += A_SCOPE) {
          run({ key0: 0 }, () => { for (let i = 0; i < A_SCOPE; i++) run({ key0: i }, nothing) })
          await turn()
        }
      }
      cases[`${count} keys, in a request`] = await inHandler(app, work)
      cases[`${count} keys, in a job`] = (runs) => job(() => work(runs))
    }
    return cases
  }
}

const nothing = () => {}

async function inHandler (app, work) {
  app.get('/', async ({ query: { runs } }) => { await work(Number(runs)) })
  await app.ready()
  return async (runs) => {
    const { statusCode, body } = await app.inject(`/?runs=${runs}`)
    if (statusCode !== 200) throw new Error(body)
  }
}

async function byHand (app, values) {
  const als = new AsyncLocalStorage()
  app.addHook('onRequest', (_request, _reply, done) => { als.run({ ...values }, done) })
  return { run: (some, fn) => als.run({ ...als.getStore(), ...some }, fn), job: (fn) => als.run({ ...values }, fn) }
}

async function ours (app, values) {
  const { createContext, key } = await import('fastify-ctx')
  const ctx = createContext(Object.fromEntries(Object.keys(values).map((name) => [name, key({ seed: () => values[name] })])))
  await app.register(ctx.plugin)
  return { run: (some, fn) => ctx.run(some, fn), job: (fn) => ctx.run(values, fn) }
}
