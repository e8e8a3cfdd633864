// What do the calls for work in a request cost, and what would they cost by hand? Each runs in a request, a hundred times in a scope, then the event loop
// turns.
import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks'
import { setImmediate as turn } from 'node:timers/promises'

const A_SCOPE = 100
/** How many calls are enough where each takes microseconds. */
const A_SLOW_CALL = 30_000
/** The results that a memo with `max` keeps. */
const MAX = 10
const VALUES = { tenant: 'acme', user: { id: 'u1', name: 'Ada' } }
const CASES = ['memo, a hit', 'memo, a miss', 'memo with max, a miss', 'bind', 'call what was bound', 'dehydrate', 'hydrate']

const variants = { 'by hand': byHand, 'by hand again': byHand, "Node's AsyncLocalStorage.bind": byNode, "Node's AsyncResource.bind": byResource, 'fastify-ctx': ours }

export default {
  name: 'calls',
  title: 'Calls within a request',
  unit: 'ns',
  mostSets: 1,
  base: 'by hand',
  control: 'by hand again',
  count: 100_000,
  leastCount: 100_000,
  warmUp: 100_000,
  cases: CASES,
  quickCases: ['memo, a hit', 'memo with max, a miss', 'bind', 'hydrate'],
  variants: Object.keys(variants),
  goals: [],

  async prepare (variant) {
    return await variants[variant]()
  }
}

const nothing = () => {}
const ofNothing = async () => {}
const double = (number) => number * 2

/** Calls `op` this many times: in scopes of a hundred calls, with the result of `prepare` from the enclosing scope. */
function inScopes (open, op, prepare = nothing) {
  return async (count) => {
    for (let done = 0; done < count; done += A_SCOPE) {
      const prepared = prepare()
      open(() => { for (let i = 0; i < A_SCOPE; i++) op(i, prepared) })
      await turn()
    }
  }
}

function inScopesAwaited (open, op, prepare) {
  return async (count) => {
    for (let done = 0; done < count; done += A_SCOPE) {
      const prepared = prepare()
      await open(async () => { for (let i = 0; i < A_SCOPE; i++) await op(prepared) })
      await turn()
    }
  }
}

/** The same inside `run`, so that nothing of previous calls remains. */
function casesBy (within, cases) {
  return Object.fromEntries(Object.entries(cases).map(([name, run]) => [name, Object.assign((count) => within(() => run(count)), { count: run.count })]))
}

function byHand () {
  const als = new AsyncLocalStorage()
  const open = (fn) => als.run({ ...als.getStore(), step: 0, cache: new Map() }, fn)
  const bind = (fn) => {
    const store = als.getStore()
    return (...args) => als.run(store, fn, ...args)
  }
  const doubleOnce = (number) => {
    const { cache } = als.getStore()
    if (cache.has(number)) return cache.get(number)
    const doubled = double(number)
    cache.set(number, doubled)
    return doubled
  }
  const doubleLately = (number) => {
    const { cache } = als.getStore()
    if (cache.has(number)) return cache.get(number)
    if (cache.size === MAX) cache.delete(cache.keys().next().value)
    cache.set(number, double(number))
    return cache.get(number)
  }
  const dehydrate = () => {
    const { requestId, tenant, user } = als.getStore()
    return JSON.stringify({ requestId, tenant, user })
  }
  return casesBy((fn) => als.run({ requestId: 'req-1', ...VALUES }, fn), {
    'memo, a hit': inScopes(open, () => doubleOnce(1)),
    'memo, a miss': inScopes(open, (i) => doubleOnce(i)),
    'memo with max, a miss': inScopes(open, (i) => doubleLately(i)),
    bind: inScopes(open, () => bind(nothing)),
    'call what was bound': inScopes(open, (_i, bound) => bound(), () => bind(nothing)),
    dehydrate: inScopes(open, dehydrate),
    hydrate: Object.assign(inScopesAwaited(open, async (text) => await als.run(JSON.parse(text), ofNothing), dehydrate), { count: A_SLOW_CALL })
  })
}

async function ours () {
  const [{ default: Fastify }, { createContext, key }] = await Promise.all([import('fastify'), import('fastify-ctx')])
  const ctx = createContext({ tenant: key({ seed: () => VALUES.tenant, carry: true }), user: key({ seed: () => VALUES.user, carry: true }), step: key() })
  const app = Fastify()
  await app.register(ctx.plugin)
  let work
  app.get('/', async () => { await work() })
  const within = async (fn) => {
    work = fn
    const { statusCode, body } = await app.inject('/')
    if (statusCode !== 200) throw new Error(body)
  }
  const open = (fn) => ctx.run({ step: 0 }, fn)
  const doubleOnce = ctx.memo(double)
  const doubleLately = ctx.memo(double, { max: MAX })
  return casesBy(within, {
    'memo, a hit': inScopes(open, () => doubleOnce(1)),
    'memo, a miss': inScopes(open, (i) => doubleOnce(i)),
    'memo with max, a miss': inScopes(open, (i) => doubleLately(i)),
    bind: inScopes(open, () => ctx.bind(nothing)),
    'call what was bound': inScopes(open, (_i, bound) => bound(), () => ctx.bind(nothing)),
    dehydrate: inScopes(open, () => ctx.dehydrate()),
    hydrate: Object.assign(inScopesAwaited(open, async (text) => await ctx.hydrate(text, ofNothing), () => ctx.dehydrate()), { count: A_SLOW_CALL })
  })
}

function byNode () {
  return bindingBy((fn) => AsyncLocalStorage.bind(fn))
}

function byResource () {
  return bindingBy((fn) => AsyncResource.bind(fn))
}

function bindingBy (bind) {
  const als = new AsyncLocalStorage()
  const open = (fn) => als.run({ ...als.getStore(), step: 0 }, fn)
  return casesBy((fn) => als.run({ ...VALUES }, fn), {
    // It is slow, on Node 20 above all.
    bind: Object.assign(inScopes(open, () => bind(nothing)), { count: 2000 }),
    'call what was bound': inScopes(open, (_i, bound) => bound(), () => bind(nothing))
  })
}
