import Fastify from 'fastify'
import t from 'tap'
import { createContext, key } from '../../../lib/index.ts'
import { listen } from '../../support/support.ts'

const ctx = createContext({ tenant: key<string>({ seed: () => 'acme' }) })

t.test('an application without the plugin never runs our send, even in a process that has one with it', async (t) => {
  const plain = Fastify()
  const sends: unknown[] = []
  plain.get('/', async (_request, reply) => { sends.push(reply.send); return 'ok' })
  const { url: plainUrl } = await listen(t, plain)
  await fetch(plainUrl)
  const app = Fastify()
  await app.register(ctx.plugin)
  app.get('/', async (_request, reply) => { sends.push(reply.send); return ctx.get('tenant') })
  const { url } = await listen(t, app)
  t.equal(await (await fetch(url)).text(), 'acme')
  await fetch(plainUrl)
  t.equal(sends[0], sends[2])
  t.not(sends[0], sends[1])
})

t.test('a request is answered as usual before its scope opens', async (t) => {
  const app = Fastify()
  app.addHook('onRequest', (_request, reply) => { reply.send('early') })
  await app.register(ctx.plugin)
  app.get('/', async () => 'never')
  const { url } = await listen(t, app)
  t.equal(await (await fetch(url)).text(), 'early')
})
