// The end of a request waits for the onEnd callbacks of its nested runs, as for its own.
import { once } from 'node:events'
import net from 'node:net'
import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import { createContext, key, type ContextOptions } from '../../lib/index.ts'
import { gate, Lines, listen, turns, type Tap } from '../support/support.ts'

const ctx = createContext({ tenant: key<string>({ seed: () => 'acme' }), user: key<string>() })

/** An application, and a function that reports whether the values of its last request still exist. */
async function setting (t: Tap, handler: () => unknown, options: ContextOptions = {}) {
  const lines = new Lines(t)
  const app: FastifyInstance = Fastify({ logger: { stream: lines } })
  let held = (): boolean => { throw new Error('no request yet') }
  await app.register(ctx.plugin, options)
  app.get('/', async () => {
    held = ctx.bind(() => ctx.has('tenant'))
    return await handler()
  })
  const { url, port } = await listen(t, app)
  const get = async (): Promise<void> => { await (await fetch(url, { headers: { connection: 'close' } })).text() }
  return { app, lines, port, get, held: () => held() }
}

/** Adds two onEnd callbacks to the innermost scope. Each looks, waits for the gate, and looks again. */
function putOff (seen: unknown[], go: Promise<void>, look: () => unknown): void {
  for (const name of ['second', 'first']) {
    ctx.onEnd(async () => {
      seen.push(`${name} begins: ${look()}`)
      await go
      await turns(1)
      seen.push(`${name} goes on: ${look()}`)
    })
  }
}

const ALL = (who: string): string[] => ['first', 'second'].flatMap((name) => [`${name} begins: ${who}`, `${name} goes on: ${who}`])

for (const rejects of [false, true]) {
  t.test(`onEnd of a run that ${rejects ? 'rejects' : 'resolves'} keeps its values to the end, then come onEnd and after of the request, then nothing is held`, async (t) => {
    const seen: unknown[] = []
    const [go, over] = [gate(), gate()]
    const { get, held } = await setting(t, async () => {
      ctx.onEnd(async () => { seen.push(`of the request: ${ctx.get('tenant')}`) })
      ctx.after(() => { seen.push(`after: ${ctx.get('tenant')}`); over.open() })
      await ctx.run({ user: 'ada' }, async () => await ctx.run({}, async () => {
        putOff(seen, go.promise, () => `${ctx.get('tenant')} ${ctx.get('user')}`)
        if (rejects) throw new Error('within')
      })).catch(() => {})
    })
    await get()
    await turns(10)
    t.same(seen, ['first begins: acme ada'])
    t.equal(held(), true)
    go.open()
    await over.promise
    t.same(seen, [...ALL('acme ada'), 'of the request: acme', 'after: acme'])
    await turns()
    t.equal(held(), false)
  })
}

t.test('onEnd of a run of another context, which the application has not registered, sees the values of the request', async (t) => {
  const other = createContext({ region: key<string>() })
  const seen: unknown[] = []
  const go = gate()
  const { get, held } = await setting(t, () => other.run({ region: 'eu' }, async () => {
    other.onEnd(async () => {
      await go.promise
      seen.push([ctx.get('tenant'), other.get('region')])
    })
  }))
  await get()
  await turns(10)
  t.equal(held(), true)
  go.open()
  await turns()
  t.same(seen, [['acme', 'eu']])
  t.equal(held(), false)
})

t.test('onEnd of a run in an onEnd callback of the request', async (t) => {
  const seen: unknown[] = []
  const [go, begun] = [gate(), gate()]
  const { get, held } = await setting(t, () => {
    ctx.onEnd(async () => {
      await ctx.run({ user: 'ada' }, async () => { putOff(seen, go.promise, () => `${ctx.get('tenant')} ${ctx.get('user')}`) })
      begun.open()
    })
  })
  await get()
  await begun.promise
  await turns(10)
  t.equal(held(), true)
  go.open()
  while (held()) await turns(1)
  t.same(seen, ALL('acme ada'))
})

t.test('onEnd of a run whose client left: onEnd of the request runs once its handler has settled, and the values stay', async (t) => {
  const seen: unknown[] = []
  const [go, entered, settle, over] = [gate(), gate(), gate(), gate()]
  const { port, held } = await setting(t, async () => {
    ctx.onEnd(() => { seen.push(`of the request: ${ctx.get('tenant')}`); over.open() })
    await ctx.run({ user: 'ada' }, async () => { putOff(seen, go.promise, () => ctx.get('user')) })
    entered.open()
    await settle.promise
  })
  const socket = net.connect(port, '127.0.0.1')
  socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n')
  await entered.promise
  socket.destroy()
  await once(socket, 'close')
  await turns(10)
  settle.open()
  await turns(10)
  t.same(seen, ['first begins: ada'], 'the callbacks of the run are not done')
  go.open()
  await over.promise
  t.same(seen, [...ALL('ada'), 'of the request: acme'])
  await turns(10)
  t.equal(held(), true, 'no value is dropped by force after a disconnect')
})

t.test('onEnd of a root run, or of a run in detached work, does not keep the request open, and has its own values', async (t) => {
  const seen: unknown[] = []
  const [go, over] = [gate(), gate()]
  const { get, held } = await setting(t, async () => {
    await ctx.run({ user: 'root' }, async () => { ctx.onEnd(async () => { await go.promise; seen.push(ctx.get('user')) }) }, { inherit: false })
    ctx.detach(async () => {
      await ctx.run({ user: 'detached' }, async () => { ctx.onEnd(async () => { await go.promise; seen.push(ctx.get('user')) }) })
    })
    ctx.onEnd(() => { over.open() })
  })
  await get()
  await over.promise
  await turns()
  t.equal(held(), false)
  go.open()
  await turns()
  t.same(seen, ['root', 'detached'])
})

t.test('onEnd of a run that never settles delays app.close() by at most closeTimeout, and is logged', async (t) => {
  const { app, get, lines } = await setting(t, async () => {
    await ctx.run({}, async () => { ctx.onEnd(async () => { await gate().promise }) })
  }, { closeTimeout: 20 })
  await get()
  await app.close()
  t.match(lines.one('work was abandoned because the application closes'), { work: 'ctx.onEnd' })
})

t.test('app.close() waits for onEnd of the request, which comes after onEnd of a run', async (t) => {
  const seen: unknown[] = []
  const closing = gate()
  const { app, get } = await setting(t, async () => {
    ctx.onEnd(async () => { await turns(); seen.push('of the request') })
    await ctx.run({}, async () => { ctx.onEnd(async () => { await closing.promise; await turns(); seen.push('of the run') }) })
  })
  await get()
  const closed = app.close()
  await turns()
  closing.open()
  await closed
  t.same(seen, ['of the run', 'of the request'])
})
