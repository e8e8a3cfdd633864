import { requestContext } from '@fastify/request-context'
import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import context, { createContext, ctx as readyMade, key, type OwnContext } from '../../../lib/index.ts'
import { gate, listen, turns, warnings } from '../../support/support.ts'

type Ctx = OwnContext<{ readonly requestId: any, readonly tenant: string }>

/** A new context for each test, because a warning is emitted once per subject. */
const contextOf = (diagnostics?: boolean): Ctx => createContext({ tenant: key<string>({ seed: () => 'acme' }) }, diagnostics === undefined ? {} : { diagnostics }) as unknown as Ctx

async function appOf (ctx: Ctx, before: (app: FastifyInstance) => void = () => {}): Promise<FastifyInstance> {
  const app = Fastify()
  before(app)
  await app.register(ctx.plugin)
  return app
}

t.test('a read in a hook registered before the plugin emits one warning with the hook and the line', async (t) => {
  const told = warnings(t, 'FST_CTX_EARLY_READ')
  const ctx = contextOf()
  const seen: unknown[] = []
  const app = await appOf(ctx, (app) => {
    app.addHook('onRequest', function tooEarly (_request, _reply, done) { seen.push(ctx.get('tenant')); done() })
    app.addHook('onRequest', async () => { await turns(); seen.push(ctx.get('tenant')) })
  })
  app.get('/', async () => ctx.get('tenant'))
  const { url } = await listen(t, app)
  for (let i = 0; i < 3; i++) t.equal(await (await fetch(url)).text(), 'acme')
  t.same(seen, Array(6).fill(undefined))
  t.equal(told.length, 2, 'once per hook')
  t.match(told[0]!.message, /'tenant' was read at .*misuse-warnings\.test\.ts.* in the hook 'tooEarly'.*register fastify-ctx before/s)
  t.match(told[1]!.message, /in the hook 'anonymous'/)
})

t.test('a read outside every scope, in no hook, emits no warning', async (t) => {
  const told = warnings(t, 'FST_CTX_EARLY_READ')
  t.equal(contextOf().get('tenant'), undefined)
  await turns()
  t.same(told, [])
})

for (const diagnostics of [true, false]) {
  t.test(`requestContext.set in a hook before the plugin does nothing, diagnostics: ${diagnostics}`, async (t) => {
    const ctx = contextOf(diagnostics)
    const [first, second] = [gate(), gate()]
    const app = await appOf(ctx, (app) => {
      app.addHook('onRequest', async (request) => {
        const { user } = request.query as { readonly user: string }
        requestContext.set('user' as never, user as never)
        if (user === 'ada') { first.open(); await second.promise }
        request.headers['x-seen'] = String(requestContext.get('user' as never))
        request.headers['x-store'] = String(requestContext.getStore())
      })
    })
    app.get('/', async (request) => [request.headers['x-seen'], request.headers['x-store']])
    const { url } = await listen(t, app)
    const ask = async (user: string): Promise<unknown> => (await fetch(`${url}/?user=${user}`)).json()
    // Hooks are watched from the second request of their route on.
    t.same(await ask('first'), ['undefined', 'undefined'])
    const held = ask('ada')
    await first.promise
    t.same(await ask('lin'), ['undefined', 'undefined'])
    second.open()
    t.same(await held, ['undefined', 'undefined'])
  })
}

t.test('a read of a context that the application has not registered is not an early read', async (t) => {
  const told = warnings(t, 'FST_CTX_EARLY_READ')
  const [ctx, other] = [contextOf(), contextOf()]
  const app = await appOf(ctx, (app) => { app.addHook('onRequest', (_request, _reply, done) => { done() }) })
  app.get('/', async () => String(other.get('tenant')))
  const { url } = await listen(t, app)
  for (let i = 0; i < 2; i++) t.equal(await (await fetch(url)).text(), 'undefined')
  await turns()
  t.same(told, [])
})

t.test('a read after the end emits a warning with its line and its route', async (t) => {
  const told = warnings(t, 'FST_CTX_LATE_READ')
  const ctx = contextOf()
  const app = await appOf(ctx)
  const read = gate<() => unknown>()
  app.get('/late', async () => { read.open(ctx.bind(() => ctx.get('tenant'))) })
  const { url } = await listen(t, app)
  await (await fetch(`${url}/late`)).text()
  await turns()
  t.equal((await read.promise)(), undefined)
  await turns()
  t.equal(told.length, 1)
  t.match(told[0]!.message, /'tenant' was read at .*misuse-warnings\.test\.ts.* after the scope of \/late had ended.*ctx\.detach/)
})

t.test('a run that nobody awaited emits a warning with its function when its request ends', async (t) => {
  const told = warnings(t, 'FST_CTX_STILL_OPEN')
  const ctx = contextOf()
  const app = await appOf(ctx)
  const { promise, open } = gate()
  app.get('/forgot', async () => {
    ctx.run({ tenant: 'globex' }, async function sendMails () { await promise }).catch(t.fail)
    ctx.run({ tenant: 'globex' }, async () => { await promise }).catch(t.fail)
    ctx.run({ tenant: 'globex' }, async () => { await promise; return ['a text of more than sixty characters'] }).catch(t.fail)
    await ctx.run({ tenant: 'globex' }, async function awaited () {})
    return 'ok'
  })
  const { url } = await listen(t, app)
  await (await fetch(`${url}/forgot`)).text()
  while (told.length < 3) await turns()
  open()
  await turns()
  t.same(told.map(({ message }) => message.replace(/;?\s+/g, ' ')).sort(), [
    "the request of /forgot ended while ctx.run(…, async () => { await promise return ['a text of more than si…) was still running: await it, or start it by ctx.detach()",
    'the request of /forgot ended while ctx.run(…, async () => { await promise }) was still running: await it, or start it by ctx.detach()',
    "the request of /forgot ended while the function 'sendMails' of a ctx.run was still running: await it, or start it by ctx.detach()"
  ].sort())
})

t.test('with diagnostics: false none of these warnings is emitted', async (t) => {
  const told = ['FST_CTX_EARLY_READ', 'FST_CTX_LATE_READ', 'FST_CTX_STILL_OPEN'].map((code) => warnings(t, code))
  const ctx = contextOf(false)
  const app = await appOf(ctx, (app) => { app.addHook('onRequest', async () => { ctx.get('tenant') }) })
  const late = gate<() => unknown>()
  app.get('/quiet', async () => {
    ctx.run({}, async () => { await new Promise(() => {}) }).catch(t.fail)
    late.open(ctx.bind(() => ctx.get('tenant')))
  })
  const { url } = await listen(t, app)
  for (let i = 0; i < 2; i++) await (await fetch(`${url}/quiet`)).text()
  await turns()
  t.equal((await late.promise)(), undefined)
  await turns()
  t.same(told, [[], [], []])
})

t.test('misuse warnings are emitted unless NODE_ENV is production', async (t) => {
  const before = process.env.NODE_ENV
  t.teardown(() => { if (before === undefined) delete process.env.NODE_ENV; else process.env.NODE_ENV = before })
  const told = warnings(t, 'FST_CTX_LATE_READ')
  process.env.NODE_ENV = 'production'
  const ctx = contextOf()
  const app = await appOf(ctx)
  const late = gate<() => unknown>()
  app.get('/production', async () => { late.open(ctx.bind(() => ctx.get('tenant'))) })
  const { url } = await listen(t, app)
  await (await fetch(`${url}/production`)).text()
  await turns()
  t.equal((await late.promise)(), undefined)
  await turns()
  t.same(told, [])
})

t.test('the warning names the line of the caller, for every way to read a key', async (t) => {
  const told = warnings(t, 'FST_CTX_LATE_READ')
  const app = Fastify()
  await app.register(context, { keys: { tenant: () => 'acme' } })
  const late = gate<() => void>()
  let first = 0
  app.get('/ways', async (request) => {
    readyMade.set('user', { id: '1' })
    const access = request.ctx as unknown as Record<string, unknown>
    late.open(readyMade.bind(() => {
      first = Number(/:(\d+):\d+\)?$/.exec(new Error().stack!.split('\n')[1]!)![1])
      readyMade.get('locale')
      request.ctx.get('tenant')
      t.equal(access.user, undefined)
    }))
    readyMade.set('locale', 'de')
  })
  const { url } = await listen(t, app)
  await (await fetch(`${url}/ways`)).text()
  await turns()
  ;(await late.promise)()
  await turns()
  t.same(told.map(({ message }) => Number(/misuse-warnings\.test\.ts:(\d+):/.exec(message)?.[1]) - first), [1, 2, 3], 'each warning names its own line')
})
