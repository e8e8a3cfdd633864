import { AsyncResource } from 'node:async_hooks'
import net from 'node:net'
import Fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import { asyncLocalStorage, requestContext } from '@fastify/request-context'
import { Readable } from 'node:stream'
import t from 'tap'
import { createContext, key } from '../../../lib/index.ts'
import { gate, Lines, listen, turns, type Tap } from '../../support/support.ts'

const ctx = createContext({ tenant: key<string>({ seed: () => 'acme', log: true }), user: key<string>() })

type Hook = (...args: any[]) => unknown

/** Ways in which a hook can continue in its own scope. */
const INNER: Record<string, (done: Hook, args: unknown[]) => void> = {
  run: (done, args) => { ctx.run({ tenant: 'globex' }, () => { done(...args) }) },
  'run, later': (done, args) => { ctx.run({ tenant: 'globex' }, () => { setImmediate(done, ...args) }) },
  impersonate: (done, args) => { ctx.impersonate({ tenant: 'globex' }, { reason: 'ticket 4711' }, () => { done(...args) }) },
  'by hand': (done, args) => { asyncLocalStorage.run({ tenant: 'globex' } as never, () => { done(...args) }) }
}

const KINDS = { onRequest: 0, preParsing: 1, preValidation: 0, preHandler: 0, preSerialization: 1, onSend: 1, onResponse: 0 } as const

async function setting (t: Tap, build: (app: FastifyInstance) => void): Promise<{ readonly url: string, readonly lines: Lines }> {
  const lines = new Lines(t)
  const app: FastifyInstance = Fastify({ logger: { stream: lines } })
  await app.register(ctx.plugin)
  build(app)
  return { url: (await listen(t, app)).url, lines }
}

const tenant = (): unknown => requestContext.get('tenant' as never)

/** Calls a function outside any scope, like code that runs from a timer older than the request. */
function elsewhere (fn: () => void): void {
  asyncLocalStorage.run(undefined as never, () => { setImmediate(fn) })
}

for (const [how, goOn] of Object.entries(INNER)) {
  for (const [kind, payloadAt] of Object.entries(KINDS)) {
    t.test(`${how} around the done of a callback ${kind} hook holds for the rest of the request`, async (t) => {
      const seen: Record<string, unknown> = {}
      const over = gate()
      const { url, lines } = await setting(t, (app) => {
        const payload = (args: unknown[]): unknown[] => payloadAt === 1 ? [null, args[2]] : []
        // Each later hook continues outside any scope, and is brought back into the inner one.
        const later = (name: string) => (...args: any[]): void => {
          seen[name] = tenant()
          const done = args.at(-1) as Hook
          elsewhere(() => { done(...(KINDS[name as keyof typeof KINDS] === 1 ? [null, args[2]] : [])) })
        }
        app.addHook(kind as 'preHandler', ((...args: any[]) => { goOn(args.at(-1) as Hook, payload(args)) }) as never)
        for (const name of Object.keys(KINDS)) {
          app.addHook(name as 'preHandler', (name === 'preParsing' || name === 'preSerialization' || name === 'onSend' ? (request: unknown, reply: unknown, payload: unknown, done: Hook) => { later(name)(request, reply, payload, done) } : (request: unknown, reply: unknown, done: Hook) => { later(name)(request, reply, done) }) as never)
        }
        app.addHook('onResponse', async () => { seen.last = tenant() })
        app.addHook('onResponse', (_request, _reply, done) => { done(); over.open() })
        app.get('/', async () => { seen.handler = tenant(); return { ok: true } })
      })
      t.equal(await (await fetch(url)).text(), '{"ok":true}')
      await over.promise
      const order = ['onRequest', 'preParsing', 'preValidation', 'preHandler', 'handler', 'preSerialization', 'onSend', 'onResponse', 'last']
      for (const name of order) t.equal(seen[name], order.indexOf(name) >= order.indexOf(kind) ? 'globex' : 'acme', name)
      if (how === 'by hand') return
      const line = lines.one('request completed')
      t.equal(line.tenant, 'globex')
      t.equal(line.reason, how === 'impersonate' ? 'ticket 4711' : undefined)
    })
  }
}

t.test('onEnd, after, cache, memo and set act on the inner scope in which a request continues, and onEnd waits for the request', async (t) => {
  const seen: unknown[] = []
  const over = gate()
  const { url } = await setting(t, (app) => {
    app.addHook('preHandler', (_request, _reply, done) => { ctx.run({ tenant: 'globex' }, done) })
    app.addHook('preHandler', (_request, _reply, done) => { ctx.onEnd(() => { seen.push(['first onEnd', ctx.get('tenant'), ctx.get('user')]) }); done() })
    app.addHook('preHandler', async () => { await turns(); ctx.set('user', 'ada'); ctx.cache.set('a', 1) })
    app.get('/', async () => {
      await turns()
      ctx.onEnd(() => { seen.push(['second onEnd', ctx.get('tenant'), ctx.cache.get('a')]) })
      ctx.after(() => { seen.push(['after', ctx.get('tenant'), ctx.get('user')]); over.open() })
      seen.push(['handler', ctx.get('user')])
      return 'ok'
    })
  })
  await fetch(url)
  await over.promise
  t.same(seen, [['handler', 'ada'], ['second onEnd', 'globex', 1], ['first onEnd', 'globex', 'ada'], ['after', 'globex', 'ada']])
})

t.test('a stream, web stream or generator sent in a run emits and is read in that run\'s scope', async (t) => {
  const within = async (send: (reply: FastifyReply, see: () => void) => void): Promise<unknown[]> => {
    const seen: unknown[] = []
    const over = gate()
    const { url } = await setting(t, (app) => {
      app.addHook('onResponse', (_request, _reply, done) => { seen.push(ctx.get('tenant')); done(); over.open() })
      app.get('/', (_request, reply) => {
        ctx.impersonate({ tenant: 'globex' }, { reason: 'ticket 4711' }, () => { send(reply, () => { seen.push(ctx.get('tenant')) }) })
      })
    })
    await (await fetch(url)).text()
    await over.promise
    return [...new Set(seen)]
  }
  t.same(await within((reply, see) => {
    const stream = new Readable({ read () {} })
    for (const event of ['data', 'end', 'close']) stream.on(event, see)
    reply.send(stream)
    elsewhere(() => { stream.push('x'); elsewhere(() => { stream.push(null) }) })
  }), ['globex'])
  t.same(await within((reply, see) => {
    let pulls = 0
    reply.send(new ReadableStream({ async pull (controller) { see(); await turns(1); if (pulls++ < 2) controller.enqueue(new Uint8Array(10)); else controller.close() } }))
  }), ['globex'])
  t.same(await within((reply, see) => {
    reply.send(Readable.from((async function * () { for (let i = 0; i < 3; i++) { see(); await turns(1); yield 'x' } })()))
  }), ['globex'])
})

t.test('a store in which another request continued does not count for this request', async (t) => {
  const shared = { tenant: 'a job' }
  const seen: unknown[] = []
  const { url } = await setting(t, (app) => {
    app.addHook('preHandler', (_request, _reply, done) => { asyncLocalStorage.run(shared as never, done) })
    app.get('/', async () => { seen.push(tenant()); return 'ok' })
  })
  await fetch(url)
  await fetch(url)
  t.same(seen, ['a job', 'acme'])
})

t.test('a request does not continue in the scope of a job, in a detached copy, in a store that is not an object, or in an older store', async (t) => {
  for (const goOn of [
    (done: Hook) => { ctx.run({ tenant: 'job' }, done as never, { inherit: false }) },
    (done: Hook) => { ctx.detach(() => { ctx.set('tenant', 'copy'); done() }) },
    (done: Hook) => { asyncLocalStorage.run('text' as never, done as never) }
  ]) {
    const seen: unknown[] = []
    const { url } = await setting(t, (app) => {
      app.addHook('preHandler', (_request, _reply, done) => { goOn(done) })
      app.get('/', async () => { seen.push(ctx.get('tenant')); return 'ok' })
    })
    await fetch(url)
    t.same(seen, ['acme'])
  }
  const app = Fastify()
  const seen: unknown[] = []
  let resume: (fn: Hook) => unknown = () => {}
  app.addHook('onRequest', (_request, _reply, done) => { asyncLocalStorage.run({ tenant: 'before' } as never, () => { resume = AsyncResource.bind((fn: Hook) => fn()); done() }) })
  await app.register(ctx.plugin)
  app.addHook('preHandler', (_request, _reply, done) => { resume(done) })
  app.get('/', async () => { seen.push(ctx.get('tenant')); return 'ok' })
  const { url } = await listen(t, app)
  await fetch(url)
  t.same(seen, ['acme'])
})

t.test('two contexts: a run of either holds, and work from a timer older than the request re-enters both', async (t) => {
  const other = createContext({ plan: key<string>({ seed: () => 'free' }) })
  const seen: unknown[] = []
  const app = Fastify()
  await app.register(ctx.plugin)
  await app.register(other.plugin)
  app.addHook('preHandler', (_request, _reply, done) => { ctx.run({ tenant: 'globex' }, done) })
  app.addHook('preHandler', (_request, _reply, done) => { other.run({ plan: 'paid' }, done) })
  app.addHook('preHandler', (_request, _reply, done) => { elsewhere(done) })
  app.get('/', async (request) => { seen.push([ctx.get('tenant'), other.get('plan'), (request as never as { ctx: { get (name: string): unknown } }).ctx.get('tenant')]); return 'ok' })
  const { url } = await listen(t, app)
  await fetch(url)
  t.same(seen, [['globex', 'paid', 'globex']])
})

t.test('if unrelated work of the request calls a hook\'s done in an older run, the request continues in its own scope', async (t) => {
  const waiting: Hook[] = []
  const seen: unknown[] = []
  const { url } = await setting(t, (app) => {
    // A pool, and work that nobody awaits: it calls every waiting callback in its own scope.
    app.addHook('preHandler', async () => {
      ctx.run({ tenant: 'globex' }, () => { setTimeout(() => { for (const next of waiting.splice(0)) next() }, 20) })
    })
    app.addHook('preHandler', (_request, _reply, done) => { waiting.push(done) })
    app.addHook('onSend', async () => { seen.push(tenant()) })
    app.get('/', async () => { seen.push(tenant()); return 'done' })
  })
  t.equal(await (await fetch(url)).text(), 'done')
  t.same(seen, ['acme', 'acme'])
})

/** A pool, whose waiting callbacks are called in the scope of its next user. */
function pool () {
  const waiting: Hook[] = []
  const taken = gate()
  return {
    wait (callback: Hook) { waiting.push(callback); taken.open() },
    /** Once somebody waits, works in a run of its own, and calls back everybody that waits. */
    async work () {
      await taken.promise
      await ctx.run({ tenant: 'globex' }, async () => {
        await turns()
        for (const callback of waiting.splice(0)) callback()
        await turns()
      })
    }
  }
}

/** Hooks that run while a handler still works, and how they wait for the pool. */
const WAITING: Record<string, (shared: ReturnType<typeof pool>, app: FastifyInstance) => void> = {
  'a callback onResponse hook': (shared, app) => { app.addHook('onResponse', (_request, _reply, done) => { shared.wait(done) }) },
  'a thenable of an onResponse hook': (shared, app) => { app.addHook('onResponse', (() => ({ then (resolve: Hook) { shared.wait(resolve) } })) as never) },
  'a callback onSend hook': (shared, app) => { app.addHook('onSend', (_request, _reply, payload, done) => { shared.wait(() => { done(null, payload) }) }) },
  'a thenable of an onSend hook': (shared, app) => { app.addHook('onSend', (() => ({ then (resolve: Hook) { shared.wait(() => { resolve(undefined) }) } })) as never) }
}

for (const [which, wait] of Object.entries(WAITING)) {
  t.test(`${which} that a run of the handler calls back: the request does not continue in that run`, async (t) => {
    const shared = pool()
    const seen: unknown[] = []
    const over = gate()
    const { url, lines } = await setting(t, (app) => {
      wait(shared, app)
      app.addHook('onSend', async () => { seen.push(tenant()) })
      app.addHook('onResponse', async () => { seen.push(tenant()) })
      app.get('/', async (_request, reply) => {
        reply.send('ok')
        await shared.work()
        seen.push(tenant())
        over.open()
        return reply
      })
    })
    t.equal(await (await fetch(url)).text(), 'ok')
    await over.promise
    await turns()
    t.same(seen, ['acme', 'acme', 'acme'])
    t.equal(lines.one('request completed').tenant, 'acme')
  })
}

t.test('a client leaves while a handler works in a run, which calls back an onRequestAbort hook: what follows is in the scope of the request', async (t) => {
  const shared = pool()
  const seen: Record<string, unknown> = {}
  const [started, over] = [gate(), gate()]
  const { url } = await setting(t, (app) => {
    app.addHook('onRequestAbort', (_request, done) => { shared.wait(done) })
    app.addHook('onRequestAbort', async (_request) => { seen.onRequestAbort = tenant() })
    app.addHook('preSerialization', async (_request, _reply, payload) => { seen.preSerialization = tenant(); return payload })
    app.addHook('onSend', async () => { seen.onSend = tenant(); setTimeout(over.open, 20) })
    app.get('/', async () => {
      started.open()
      await shared.work()
      seen.handler = tenant()
      return { ok: true }
    })
  })
  const client = net.connect(Number(new URL(url).port), '127.0.0.1')
  client.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n')
  await started.promise
  client.destroy()
  await over.promise
  t.same(seen, { onRequestAbort: 'acme', preSerialization: 'acme', handler: 'acme', onSend: 'acme' })
})

for (const kind of ['onRequest', 'preValidation', 'preHandler'] as const) {
  t.test(`a store that an async ${kind} hook enters by enterWith holds for the rest of the request, as with AsyncLocalStorage alone`, async (t) => {
    const seen: unknown[] = []
    const over = gate()
    const { url } = await setting(t, (app) => {
      app.addHook(kind, async () => {
        asyncLocalStorage.enterWith({ tenant: 'globex' } as never)
        await turns()
      })
      app.addHook('preHandler', async () => { seen.push(tenant()) })
      app.addHook('onResponse', (_request, _reply, done) => { seen.push(tenant()); done(); over.open() })
      app.get('/', async () => { await turns(); seen.push(tenant()); return 'ok' })
    })
    await fetch(url)
    await over.promise
    t.same(seen, ['globex', 'globex', 'globex'])
  })
}

t.test('an onTimeout hook in its own scope does not take the request along, also with an async hook behind it', async (t) => {
  const seen: unknown[] = []
  const over = gate()
  const { url } = await setting(t, (app) => {
    app.server.setTimeout(30)
    app.addHook('onTimeout', (_request, _reply, done) => { ctx.run({ tenant: 'globex' }, done) })
    app.addHook('onTimeout', async () => { seen.push(tenant()); await turns() })
    app.addHook('onTimeout', async () => { seen.push(tenant()); over.open() })
    app.addHook('preSerialization', async (_request, _reply, payload) => { seen.push(tenant()); return payload })
    app.get('/', async () => { await over.promise; await turns(); seen.push(tenant()); return { ok: true } })
  })
  await t.rejects(fetch(url))
  await over.promise
  await turns(9)
  t.same(seen, ['globex', 'globex', 'acme', 'acme'])
})

t.test('a hook after the handler that opens a run later, and calls done in it at once, continues in that run', async (t) => {
  const over = gate()
  const { url, lines } = await setting(t, (app) => {
    app.addHook('onSend', (_request, _reply, payload, done) => { setImmediate(() => { ctx.run({ tenant: 'globex' }, () => { done(null, payload) }) }) })
    app.addHook('onResponse', (_request, _reply, done) => { done(); over.open() })
    app.get('/', async () => 'ok')
  })
  await (await fetch(url)).text()
  await over.promise
  await turns()
  t.equal(lines.one('request completed').tenant, 'globex')
})
