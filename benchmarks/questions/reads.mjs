// What does one read cost, three scopes deep? The key was set in the outermost scope.
import { AsyncLocalStorage } from 'node:async_hooks'

const COUNT = 1_000_000

const variants = {
  'getStore()?.key': bare,
  'getStore()?.key again': bare,
  'requestContext.get': ofRequestContext,
  'cls.get': ofNestjsCls,
  'ctx.get': () => ours((ctx) => repeat(() => ctx.get('tenant'))),
  'ctx.require': () => ours((ctx) => repeat(() => ctx.require('tenant'))),
  'request.ctx.key': () => ours((_ctx, request) => repeat(() => request.ctx.tenant))
}

export default {
  name: 'reads',
  title: 'One read, three scopes deep',
  unit: 'ns',
  mostSets: 2,
  base: 'getStore()?.key',
  control: 'getStore()?.key again',
  count: COUNT,
  leastCount: COUNT,
  warmUp: COUNT,
  cases: ['a read'],
  variants: Object.keys(variants),
  goals: ['ctx.get', 'request.ctx.key', 'ctx.require'].map((of) => ({ of, against: 'getStore()?.key', atMost: 1.5, why: 'A read also checks that the current store is a scope of this context, and has not ended.' })),

  async prepare (variant) {
    return { 'a read': await variants[variant]() }
  }
}

/** A loop around a read, which the compiler cannot remove, because the value is checked. */
function repeat (read) {
  return (count) => {
    for (let i = 0; i < count; i++) if (read() !== 'acme') throw new Error('read something else')
  }
}

/** Code without a package: the first scope in onRequest. */
async function bare () {
  const als = new AsyncLocalStorage()
  const read = repeat(() => als.getStore()?.tenant)
  const within = (values, fn) => als.run({ ...als.getStore(), ...values }, fn)
  return await inHandler((count) => within({ step: 1 }, () => within({ step: 2 }, () => { read(count) })), async (app) => {
    app.addHook('onRequest', (_request, _reply, done) => { als.run({ tenant: 'acme', user: { id: 'u1' } }, done) })
  })
}

async function ofRequestContext () {
  const { asyncLocalStorage, default: plugin, requestContext } = await import('@fastify/request-context')
  const read = repeat(() => requestContext.get('tenant'))
  const within = (values, fn) => asyncLocalStorage.run({ ...asyncLocalStorage.getStore(), ...values }, fn)
  return await inHandler((count) => within({ step: 1 }, () => within({ step: 2 }, () => { read(count) })), (app) => app.register(plugin, { defaultStoreValues: () => ({ tenant: 'acme', user: { id: 'u1' } }) }))
}

async function ofNestjsCls () {
  const { ClsServiceManager } = await import('nestjs-cls')
  const cls = ClsServiceManager.getClsService()
  const read = repeat(() => cls.get('tenant'))
  const within = (values, fn) => cls.run({ ifNested: 'inherit' }, () => {
    for (const name of Object.keys(values)) cls.set(name, values[name])
    return fn()
  })
  return await inHandler((count) => within({ tenant: 'acme', user: { id: 'u1' } }, () => within({ step: 1 }, () => within({ step: 2 }, () => { read(count) }))))
}

async function ours (readIn) {
  const { default: context, ctx } = await import('fastify-ctx')
  return await inHandler((count, request) => {
    const read = readIn(ctx, request)
    ctx.run({ step: 1 }, () => ctx.run({ step: 2 }, () => { read(count) }))
  }, (app) => app.register(context, { keys: { tenant: () => 'acme', user: () => ({ id: 'u1' }), step: {} } }))
}

/** In the handler of a request over a socket, as in a real service. Node looks up the store differently there than at the top of a program. */
async function inHandler (read, prepare = async () => {}) {
  const { default: Fastify } = await import('fastify')
  const app = Fastify()
  await prepare(app)
  let wanted = 0
  app.get('/', async (request) => { read(wanted, request) })
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  return async (count) => {
    wanted = count
    const answer = await fetch(url)
    if (answer.status !== 200) throw new Error(await answer.text())
  }
}
