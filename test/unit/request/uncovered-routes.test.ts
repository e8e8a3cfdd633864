import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import { createContext, key } from '../../../lib/index.ts'

const [first, second] = [createContext({ tenant: key<string>() }), createContext({ user: key<string>() })]

function required (...names: string[]): { config: { context: { require: never[] } } } {
  return { config: { context: { require: names as never[] } } }
}

async function start (build: (app: FastifyInstance) => Promise<void>): Promise<void> {
  const app: FastifyInstance = Fastify()
  await build(app)
  await app.ready()
  await app.close()
}

t.test('a route with required keys outside the plugin\'s part of the application fails the start', async (t) => {
  const refused = { code: 'FST_CTX_INVALID_OPTION', message: /of \/open is not checked/ }
  await t.rejects(() => start(async (app) => {
    await app.register(async (child) => { await child.register(first.plugin) })
    app.get('/open', required('tenant'), async () => 'ok')
  }), refused)
  await t.rejects(() => start(async (app) => {
    await app.register(async (child) => { await child.register(async (grandchild) => { await grandchild.register(first.plugin) }) })
    await app.register(async (child) => { child.get('/open', required('tenant'), async () => 'ok') })
  }), refused, 'in a sibling part as well')
})

t.test('covered routes, and routes that require nothing, start with the plugin loaded before or after them', async (t) => {
  await t.resolves(() => start(async (app) => {
    await app.register(async (child) => {
      await child.register(first.plugin)
      child.get('/first', required('tenant'), async () => 'ok')
    })
    await app.register(async (child) => {
      child.get('/second', required('user'), async () => 'ok')
      child.register(second.plugin)
    })
    app.get('/none', required(), async () => 'ok')
    app.get('/foreign', { config: { context: { require: 'something else' } as never } }, async () => 'ok')
    app.get('/plain', async () => 'ok')
  }))
  await t.resolves(() => start(async (app) => {
    await app.register(async (child) => { await child.register(first.plugin) })
    app.get('/later', required('tenant'), async () => 'ok')
    app.register(first.plugin)
  }))
})

t.test('an onReady hook that never calls done is named in Fastify\'s own error, as without the plugin', async (t) => {
  const messages = await Promise.all([false, true].map(async (plugin) => {
    const app = Fastify({ pluginTimeout: 200 })
    app.addHook('onReady', function connectDatabase (_done: () => void) {})
    if (plugin) app.register(createContext({ tenant: key<string>() }).plugin)
    app.get('/', async () => 'ok')
    return await app.ready().then(() => '', ({ message }: Error) => message)
  }))
  t.match(messages[0], /"connectDatabase" timed out/)
  t.equal(messages[1], messages[0])
})
