// What does one read cost, three scopes deep? The key was set in the outermost.
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
  base: 'getStore()?.key',
  control: 'getStore()?.key again',
  count: COUNT,
  warmUp: COUNT,
  cases: ['a read'],
  variants: Object.keys(variants),
  goals: ['ctx.get', 'request.ctx.key', 'ctx.require'].map((of) => ({ of, against: 'getStore()?.key', atMost: 1.5 })),

  async prepare (variant) {
    return { 'a read': await variants[variant]() }
  }
}

/** A loop around a read, which cannot be left out: what is read is looked at. */
function repeat (read) {
  return (count) => {
    for (let i = 0; i < count; i++) if (read() !== 'acme') throw new Error('read something else')
  }
}

function bare () {
  const als = new AsyncLocalStorage()
  const within = (values, fn) => als.run({ ...als.getStore(), ...values }, fn)
  const read = repeat(() => als.getStore()?.tenant)
  return (count) => within({ tenant: 'acme', user: { id: 'u1' } }, () => within({ step: 1 }, () => within({ step: 2 }, () => { read(count) })))
}

async function ofRequestContext () {
  const { asyncLocalStorage, requestContext } = await import('@fastify/request-context')
  const within = (values, fn) => asyncLocalStorage.run({ ...asyncLocalStorage.getStore(), ...values }, fn)
  const read = repeat(() => requestContext.get('tenant'))
  return (count) => within({ tenant: 'acme', user: { id: 'u1' } }, () => within({ step: 1 }, () => within({ step: 2 }, () => { read(count) })))
}

async function ofNestjsCls () {
  const { ClsServiceManager } = await import('nestjs-cls')
  const cls = ClsServiceManager.getClsService()
  const read = repeat(() => cls.get('tenant'))
  const within = (values, fn) => cls.run({ ifNested: 'inherit' }, () => {
    for (const name of Object.keys(values)) cls.set(name, values[name])
    return fn()
  })
  return (count) => within({ tenant: 'acme', user: { id: 'u1' } }, () => within({ step: 1 }, () => within({ step: 2 }, () => { read(count) })))
}

/** Within a request, as `request.ctx` needs one. */
async function ours (readIn) {
  const [{ default: Fastify }, { default: context, ctx }] = await Promise.all([import('fastify'), import('fastify-ctx')])
  const app = Fastify()
  await app.register(context, { keys: { tenant: () => 'acme', user: () => ({ id: 'u1' }), step: {} } })
  let wanted = 0
  app.get('/', async (request) => {
    const read = readIn(ctx, request)
    ctx.run({ step: 1 }, () => ctx.run({ step: 2 }, () => { read(wanted) }))
  })
  return async (count) => {
    wanted = count
    const { statusCode, body } = await app.inject('/')
    if (statusCode !== 200) throw new Error(body)
  }
}
