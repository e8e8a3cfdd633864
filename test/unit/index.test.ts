import Fastify from 'fastify'
import t from 'tap'
import * as door from '../../lib/index.ts'
import { listen } from '../support/support.ts'

const { default: context, ctx, createContext, key } = door

t.test('the index entry exports the plugin, the ready-made context, createContext, key and the errors', async (t) => {
  t.same(Object.keys(door).filter((name) => !name.startsWith('FST_CTX_')).sort(), ['createContext', 'ctx', 'default', 'key'])
})

t.test('createContext returns a context that works without a server', async (t) => {
  const own = createContext({ tenant: key<string>(), count: key<number>() })
  t.equal(own.run({ tenant: 'acme', count: 1 }, () => `${own.require('tenant')} ${own.require('count')}`), 'acme 1')
  t.equal(await own.run({ tenant: 'acme' }, async () => own.get('tenant')), 'acme')
  t.equal(own.get('tenant'), undefined)
})

t.test('createContext: its plugin gives each request a scope', async (t) => {
  const own = createContext({ tenant: key<string>({ seed: (request) => request.headers['x-tenant-id'] }) })
  const app = Fastify()
  await app.register(own.plugin)
  const deep = (): string => own.require('tenant')
  app.get('/', async () => deep())
  const { url } = await listen(t, app)
  const answers = await Promise.all(['A', 'B', 'C'].map((tenant) => fetch(url, { headers: { 'x-tenant-id': tenant } })))
  t.same(await Promise.all(answers.map((answer) => answer.text())), ['A', 'B', 'C'])
})

t.test('createContext refuses invalid keys', async (t) => {
  for (const keys of [undefined, null, 'tenant', 7]) t.throws(() => createContext(keys as never), { code: 'FST_CTX_INVALID_OPTION' })
  t.throws(() => createContext(['tenant'] as never), { code: 'FST_CTX_INVALID_KEY' })
  t.throws(() => createContext({ run: key() } as never), { code: 'FST_CTX_INVALID_KEY' })
  t.throws(() => createContext({ tenant: { seeds: () => 'x' } } as never), { code: 'FST_CTX_INVALID_OPTION' })
})

t.test('configure refuses unknown options by name', async (t) => {
  const own = createContext({ tenant: key<string>() })
  for (const options of [undefined, null, 7, 'envelope', []]) t.throws(() => { own.configure(options as never) }, { code: 'FST_CTX_INVALID_OPTION', message: "'ctx.configure'" })
  for (const name of ['keys', 'requestId', 'envelop']) t.throws(() => { own.configure({ [name]: {} }) }, { code: 'FST_CTX_INVALID_OPTION', message: `'${name}' is not an option of ctx.configure(), which takes envelope, propagate, trace, diagnostics` })
  t.throws(() => { ctx.configure({ requestId: {} } as never) }, { code: 'FST_CTX_INVALID_OPTION', message: 'takes keys, envelope' })
  own.configure({})
})

t.test('two contexts with the same keys do not see each other', async (t) => {
  const [a, b] = [createContext({ tenant: key<string>() }), createContext({ tenant: key<string>() })]
  a.run({ tenant: 'a' }, () => {
    t.equal(b.get('tenant'), undefined)
    t.equal(ctx.get('tenant'), undefined)
    b.run({ tenant: 'b' }, () => { t.same([a.get('tenant'), b.get('tenant')], ['a', 'b']) })
  })
})

t.test('the ready-made context gets its keys from its plugin, and also works without a server', async (t) => {
  t.equal(ctx.run({ tenant: 'job' }, () => ctx.get('tenant')), 'job')
  const app = Fastify()
  await app.register(context, { keys: { tenant: (request) => request.headers['x-tenant-id'], user: { log: (user) => user.id } } })
  app.addHook('preHandler', async (request) => { request.ctx.user = { id: 'ada' } })
  app.get('/', async (request) => [request.ctx.tenant, ctx.get('tenant'), ctx.require('user').id])
  const { url } = await listen(t, app)
  t.same(await (await fetch(url, { headers: { 'x-tenant-id': 'acme' } })).json(), ['acme', 'acme', 'ada'])
})

t.test('the ready-made plugin also works without options', async (t) => {
  const app = Fastify()
  await app.register(context)
  app.get('/', async (request) => ctx.get('requestId') === request.id)
  t.equal((await app.inject('/')).body, 'true')
})
