import { mkdtempSync } from 'node:fs'
import http2 from 'node:http2'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Fastify from 'fastify'
import t from 'tap'
import { openTarget } from '../../../lib/testing/target.ts'

t.test('an application that does not listen is started on 127.0.0.1, and restored afterwards', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  let listened = 0
  app.addHook('onListen', async () => { listened++ })
  app.get('/', async () => 'ok')
  for (const round of [1, 2]) {
    const { host, port, secure, close } = await openTarget(app)
    t.same([host, secure], ['127.0.0.1', false])
    t.equal(await (await fetch(`http://${host}:${port}/`)).text(), 'ok', `round ${round}`)
    await close()
    t.equal(app.server.listening, false)
    await t.rejects(fetch(`http://${host}:${port}/`))
  }
  t.equal((await app.inject('/')).body, 'ok')
  t.equal(listened, 0)
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  t.equal(listened, 1)
  t.equal(await (await fetch(url)).text(), 'ok')
})

t.test('an application that listens keeps listening and is reached at its address', async (t) => {
  for (const [host, expected] of [['127.0.0.1', '127.0.0.1'], ['0.0.0.0', '127.0.0.1']] as const) {
    const app = Fastify()
    t.teardown(() => app.close())
    await app.listen({ port: 0, host })
    const target = await openTarget(app)
    t.same([target.host, target.port], [expected, (app.server.address() as { port: number }).port])
    await target.close()
    t.equal(app.server.listening, true)
  }
})

t.test('an application that was closed in the meantime stays closed', async (t) => {
  const app = Fastify()
  const target = await openTarget(app)
  await app.close()
  await target.close()
  t.equal(app.server.listening, false)
})

t.test('an application that cannot start rejects with its own error', async (t) => {
  const app = Fastify()
  app.register(async () => { throw new Error('no database') })
  await t.rejects(openTarget(app), { message: 'no database' })
})

t.test('a value that is not an application, or not reachable over HTTP/1 and a port, is refused', async (t) => {
  for (const app of [undefined, null, {}, Promise.resolve(Fastify()), { ready () {} }, http2.createServer()]) await t.rejects(openTarget(app as never), { code: 'FST_CTX_INVALID_ARGUMENT' })
  await t.rejects(openTarget(Fastify({ http2: true })), { code: 'FST_CTX_INVALID_ARGUMENT', message: /http2/ })
  const app = Fastify()
  t.teardown(() => app.close())
  await app.listen({ path: join(mkdtempSync(join(tmpdir(), 'fastify-ctx-')), 'socket') })
  await t.rejects(openTarget(app), { code: 'FST_CTX_INVALID_ARGUMENT', message: /port/ })
})

t.test('an address that cannot be listened on rejects', async (t) => {
  const { server } = Fastify()
  const listen = server.listen.bind(server)
  Object.assign(server, { listen: () => listen({ port: 0, host: '203.0.113.1' }) })
  const app = Fastify({ serverFactory: (handler) => server.on('request', handler) })
  await t.rejects(openTarget(app), { code: 'EADDRNOTAVAIL' })
})
