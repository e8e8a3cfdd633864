import Fastify from 'fastify'
import t from 'tap'
import context, { createContext, key } from '../../../lib/index.ts'
import { gate, listen, turns } from '../../support/support.ts'

t.test('ctx and request.ctx have the same methods; ctx also has its plugin and options, and request.ctx its keys', async (t) => {
  const ctx = createContext({ tenant: key<string>() })
  const app = Fastify()
  await app.register(ctx.plugin)
  const names: Record<string, string[]> = { ctx: namesOf(ctx) }
  app.get('/', async (request) => { names.request = namesOf(request.ctx) })
  await app.inject('/')
  const beside = ['configure', 'plugin', 'requestId', 'tenant']
  t.ok(names.ctx!.includes('get'))
  t.same(names.ctx!.filter((name) => !beside.includes(name)), names.request!.filter((name) => !beside.includes(name)))
  t.same(beside.filter((name) => names.ctx!.includes(name)), ['configure', 'plugin'])
  t.same(beside.filter((name) => names.request!.includes(name)), ['requestId', 'tenant'])
})

t.test('the calls that need a scope throw after its end, also through request.ctx', async (t) => {
  const app = Fastify()
  await app.register(context, { keys: { user: {} } })
  const [late, ended] = [gate<unknown[]>(), gate()]
  app.get('/', async (request) => {
    const { ctx } = request
    ctx.onEnd(() => { ended.open() })
    await turns(1)
    late.open([() => ctx.cache, () => { ctx.onEnd(() => {}) }, () => ctx.impersonate({}, { reason: 'r' }, () => {})])
    return [typeof ctx.cache.getOrSet, ctx.actor('user') ?? null, ctx.memo(() => 7)(), ctx.signal.aborted, ctx.explain('user').state, ctx.policy().length]
  })
  const { url } = await listen(t, app)
  t.same(await (await fetch(url)).json(), ['function', null, 7, false, 'unset', 1])
  await ended.promise
  await turns()
  for (const call of await late.promise) t.throws(call as () => unknown, { code: 'FST_CTX_ENDED' })
})

/** The names of all members of an object, except those of every object. */
function namesOf (object: object): string[] {
  const names = new Set<string>()
  for (let holder = object; holder !== Object.prototype; holder = Object.getPrototypeOf(holder) as object) for (const name of Object.getOwnPropertyNames(holder)) names.add(name)
  return [...names].filter((name) => name !== 'constructor').sort()
}
