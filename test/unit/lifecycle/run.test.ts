import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { asyncLocalStorage, requestContext } from '@fastify/request-context'
import Fastify from 'fastify'
import pino from 'pino'
import t from 'tap'
import { createContext, ctx as readyMade, key, type RequestContext, type ValuesOf } from '../../../lib/index.ts'
import { gate, Lines, listen, turns, unhandled, warnings } from '../../support/support.ts'

const ctx = createContext({ tenant: key<string>({ log: true }), user: key<{ readonly id: string }>({ log: ({ id }) => id }), plan: key<string>({ locked: true }) })

t.test('nested scopes read current values of their parent unless they shadow the key, and keep their own writes', async (t) => {
  ctx.run({ tenant: 'a' }, () => {
    ctx.run({}, () => {
      ctx.run({ user: { id: 'ada' } }, () => {
        t.same([ctx.get('tenant'), ctx.get('user')], ['a', { id: 'ada' }])
        ctx.set('tenant', 'c')
        t.equal(ctx.get('tenant'), 'c')
      })
      t.same([ctx.get('tenant'), ctx.get('user')], ['a', undefined])
      ctx.set('tenant', 'b')
      t.equal(ctx.get('tenant'), 'b')
    })
    t.equal(ctx.get('tenant'), 'a')
  })
  t.equal(ctx.get('tenant'), undefined)
})

for (const order of [[0, 1], [1, 0]] as const) {
  t.test(`parallel scopes that write the same key, ended in the order ${order.join(', ')}, each keep their own value`, async (t) => {
    const gates = [gate(), gate()]
    const [written, read] = [gate(), gate()]
    let writes = 0
    await ctx.run({ tenant: 'outer' }, async () => {
      const branches = gates.map(({ promise }, i) => ctx.run(i === 0 ? { tenant: 'given' } : {}, async () => {
        ctx.set('tenant', `branch ${i}`)
        if (++writes === 2) written.open()
        await promise
        await turns(1)
        return ctx.get('tenant')
      }))
      await written.promise
      t.equal(ctx.get('tenant'), 'outer')
      for (const i of order) {
        gates[i]!.open()
        t.equal(await branches[i], `branch ${i}`)
        t.equal(ctx.get('tenant'), 'outer')
      }
      read.open()
    })
    await read.promise
  })

  t.test(`parallel scopes, ended in the order ${order.join(', ')}, see a later write to their parent unless they shadow the key`, async (t) => {
    const gates = [gate(), gate()]
    await ctx.run({ tenant: 'before' }, async () => {
      const branches = [{ tenant: 'own' }, {}].map((values, i) => ctx.run(values, async () => {
        const before = ctx.get('tenant')
        await gates[i]!.promise
        return [before, ctx.get('tenant')]
      }))
      ctx.set('tenant', 'after')
      for (const i of order) {
        gates[i]!.open()
        t.same(await branches[i], i === 0 ? ['own', 'own'] : ['before', 'after'])
      }
    })
  })
}

t.test('the outer scope is restored after return, early return, throw, resolve and reject', async (t) => {
  await ctx.run({ tenant: 'outer' }, async () => {
    const isRestored = (): void => { t.equal(ctx.get('tenant'), 'outer') }
    t.equal(ctx.run({ tenant: 'inner' }, () => 7), 7)
    isRestored()
    t.equal(ctx.run({ tenant: 'inner' }, () => { if (ctx.has('tenant')) return 'early'; return 'late' }), 'early')
    isRestored()
    t.throws(() => ctx.run({ tenant: 'inner' }, () => { throw new Error('within') }), { message: 'within' })
    isRestored()
    const pending = ctx.run({ tenant: 'inner' }, async () => { await turns(1); return ctx.get('tenant') })
    isRestored()
    t.equal(await pending, 'inner')
    isRestored()
    await t.rejects(ctx.run({ tenant: 'inner' }, async () => { await turns(1); throw new Error('later') }), { message: 'later' })
    isRestored()
  })
})

t.test('an unhandled rejection is reported by Node, a handled one is not', async (t) => {
  const told = unhandled(t)
  ctx.run({}, async () => { throw new Error('alone') }) as unknown
  await ctx.run({}, async () => { throw new Error('awaited') }).catch(() => {})
  await turns()
  t.match(told, [{ message: 'alone' }])
  t.equal(told.length, 1)
})

t.test('a thenable that is not a promise is returned unchanged, and its then is not called', async (t) => {
  let sent = 0
  const query = { then () { sent++ } }
  t.equal(ctx.run({}, () => query), query)
  await turns()
  t.equal(sent, 0)
})

t.test('inherit: false sees no outer value, and opens a root with its own id', async (t) => {
  ctx.run({ tenant: 'outer', requestId: 'outer-1', plan: 'free' }, () => {
    ctx.run({ plan: 'paid' }, () => {
      t.same([ctx.get('tenant'), ctx.get('plan')], [undefined, 'paid'])
      t.match(ctx.get('requestId'), /^[\da-f-]{36}$/)
      ctx.run({}, () => { t.equal(ctx.get('plan'), 'paid') })
    }, { inherit: false })
    t.equal(ctx.get('requestId'), 'outer-1')
  })
})

t.test('outside any request a run is a job: a root with its own request id, also on its log lines', async (t) => {
  const lines = new Lines(t)
  const logger = pino({ mixin: ctx.mixin }, lines)
  await ctx.run({ tenant: 'acme', user: { id: 'ada' } }, async () => {
    await turns(1)
    logger.info('first job')
    await ctx.run({ user: { id: 'lin' } }, async () => { logger.info('part of it') })
    t.equal(lines.one('first job').reqId, ctx.get('requestId'))
  })
  ctx.run({ requestId: 'job-2' }, () => { logger.info('second job') })
  const { reqId } = lines.one('first job')
  t.match(reqId, /^[\da-f-]{36}$/)
  t.match(lines.one('first job'), { tenant: 'acme', user: 'ada' })
  t.match(lines.one('part of it'), { reqId, tenant: 'acme', user: 'lin' })
  t.equal(lines.one('second job').reqId, 'job-2')
  t.notOk('tenant' in lines.one('second job'))
})

t.test('in a request the log lines of a run have the request\'s id and the values of the run', async (t) => {
  const lines = new Lines(t)
  const app = Fastify({ logger: { stream: lines } })
  await app.register(ctx.plugin)
  app.get('/', async (request) => {
    ctx.set('tenant', 'acme')
    await ctx.run({ tenant: 'inner' }, async () => { await turns(1); request.log.info('inside') })
    request.log.info('outside')
    return ctx.get('tenant')
  })
  const { url } = await listen(t, app)
  t.equal(await (await fetch(url, { headers: { 'x-request-id': 'id-1' } })).text(), 'acme')
  t.match(lines.one('inside'), { reqId: 'id-1', tenant: 'inner' })
  t.match(lines.one('outside'), { reqId: 'id-1', tenant: 'acme' })
})

t.test('a locked key that is set cannot be set again by set or run, but an unset one, or one in a new root, can', async (t) => {
  ctx.run({}, () => {
    ctx.run({ plan: 'paid' }, () => { t.equal(ctx.get('plan'), 'paid') })
    ctx.set('plan', 'free')
    t.throws(() => { ctx.set('plan', 'paid') }, { code: 'FST_CTX_LOCKED', message: /'plan'/ })
    t.throws(() => ctx.run({ plan: 'paid' }, () => {}), { code: 'FST_CTX_LOCKED' })
    t.throws(() => ctx.run({ plan: undefined }, () => {}), { code: 'FST_CTX_LOCKED' })
    ctx.run({ tenant: 'acme' }, () => {
      t.throws(() => { ctx.set('plan', 'paid') }, { code: 'FST_CTX_LOCKED' })
      t.equal(ctx.get('plan'), 'free')
    })
  })
})

t.test('invalid arguments throw, and the function is not called', async (t) => {
  let calls = 0
  const count = (): void => { calls++ }
  for (const values of [undefined, null, 'acme', 7]) t.throws(() => ctx.run(values as never, count), { code: 'FST_CTX_INVALID_ARGUMENT' }, String(values))
  for (const fn of [undefined, null, 'fn', Promise.resolve()]) t.throws(() => ctx.run({}, fn as never), { code: 'FST_CTX_INVALID_ARGUMENT' }, String(fn))
  for (const requestId of ['', ' ', 'a b', 'x'.repeat(129), undefined, 7]) t.throws(() => ctx.run({ requestId: requestId as string }, count), { code: 'FST_CTX_INVALID_ARGUMENT' }, String(requestId))
  t.throws(() => ctx.run({ tenat: 'acme' } as never, count), { code: 'FST_CTX_UNKNOWN_KEY' })
  ctx.run({}, () => { t.throws(() => ctx.run({ requestId: 'other' }, count), { code: 'FST_CTX_REQUEST_ID_FIXED' }) })
  for (const options of [{ inherits: false }, { timeout: 1, dedline: 2 }]) t.throws(() => ctx.run({}, count, options as never), { code: 'FST_CTX_INVALID_ARGUMENT', message: /'(inherits|dedline)'/ })
  t.throws(() => readyMade.run({ get: 1 } as never, count), { code: 'FST_CTX_INVALID_KEY' })
  t.throws(() => ctx.run({}, {} as never), { message: 'ctx.run takes a function to call second, after the values' })
  t.throws(() => ctx.run('acme' as never, count), { message: 'ctx.run takes an object of values first, {} for none' })
  t.throws(() => ctx.run({}, count, { inherits: false } as never), { message: "ctx.run takes no option 'inherits', only inherit, messageId, timeout, deadline, signal" })
  t.equal(calls, 0)
})

t.test('two contexts, nested in turn, each see their own innermost scope', async (t) => {
  const other = createContext({ tenant: key<string>() })
  ctx.run({ tenant: 'ctx' }, () => {
    other.run({ tenant: 'other' }, () => {
      ctx.run({ tenant: 'ctx inner' }, () => {
        t.same([ctx.get('tenant'), other.get('tenant')], ['ctx inner', 'other'])
        other.run({}, () => { t.same([ctx.get('tenant'), other.get('tenant')], ['ctx inner', 'other']) })
      })
      ctx.run({}, () => { t.same([ctx.get('tenant'), other.get('tenant')], [undefined, 'other']) }, { inherit: false })
    })
  })
})

t.test('request.ctx.run, called by code of another request, opens its scope in its own request', async (t) => {
  const app = Fastify()
  await app.register(ctx.plugin)
  const [first, go] = [gate<() => unknown>(), gate()]
  app.get('/first', async (request) => {
    ctx.set('tenant', 'first')
    first.open(() => request.ctx.run({}, () => ctx.get('tenant')))
    await go.promise
    return 'ok'
  })
  app.get('/second', async () => {
    ctx.set('tenant', 'second')
    const runOfFirst = await first.promise
    return { inside: runOfFirst(), after: ctx.get('tenant') }
  })
  const { url } = await listen(t, app)
  const answer = fetch(`${url}/first`)
  t.same(await (await fetch(`${url}/second`)).json(), { inside: 'first', after: 'second' })
  go.open()
  await answer
})

t.test('onEnd and after of a run', async (t) => {
  t.test('onEnd runs when the function settles, sync or async, after success or failure; after that onEnd throws', async (t) => {
    const seen: string[] = []
    const put = (name: string): void => { ctx.onEnd(() => { seen.push(`${name} ended in ${ctx.get('tenant')}`) }) }
    ctx.run({ tenant: 'a' }, () => { put('sync'); seen.push('sync') })
    t.throws(() => ctx.run({ tenant: 'b' }, () => { put('throw'); throw new Error('within') }), { message: 'within' })
    await ctx.run({ tenant: 'c' }, async () => { put('async'); await turns(1); seen.push('async') })
    await t.rejects(ctx.run({ tenant: 'd' }, async () => { put('reject'); throw new Error('later') }), { message: 'later' })
    t.same(seen, ['sync', 'sync ended in a', 'throw ended in b', 'async', 'async ended in c', 'reject ended in d'])
    const late = ctx.run({}, () => ctx.bind(() => { ctx.onEnd(() => {}) }))
    t.throws(late, { code: 'FST_CTX_ENDED' })
  })

  t.test('after starts when the onEnd callbacks of its job are done', async (t) => {
    const [go, started] = [gate(), gate()]
    const seen: string[] = []
    ctx.run({ tenant: 'acme' }, () => {
      ctx.after(() => { seen.push(`after ${ctx.get('tenant')}`); started.open() })
      ctx.onEnd(async () => { await go.promise; seen.push('end') })
    })
    ctx.run({}, () => { ctx.after(() => { seen.push('after alone') }) })
    t.same(seen, ['after alone'])
    go.open()
    await started.promise
    t.same(seen, ['after alone', 'end', 'after acme'])
  })

  t.test('a run that outlives its request still ends and is still aborted, although its values are gone', async (t) => {
    const app = Fastify()
    await app.register(ctx.plugin)
    const [go, ended, aborted] = [gate(), gate(), gate<unknown>()]
    const seen: unknown[] = []
    app.get('/', async () => {
      ctx.set('tenant', 'acme')
      ctx.onEnd(() => { ended.open() })
      const controller = new AbortController()
      ctx.run({}, async () => {
        ctx.onEnd(() => { seen.push('inner end') })
        ctx.signal.addEventListener('abort', () => { aborted.open(ctx.signal.reason) })
        await go.promise
        controller.abort('late')
        await turns(1)
        seen.push(ctx.get('tenant'))
      }, { signal: controller.signal }) as unknown
      return 'ok'
    })
    const { url } = await listen(t, app)
    await (await fetch(url)).text()
    await ended.promise
    await turns()
    t.same(seen, [])
    go.open()
    t.equal(await aborted.promise, 'late')
    await turns(4)
    t.same(seen, [undefined, 'inner end'])
  })
})

t.test('work that nobody awaited, after its run has settled', async (t) => {
  const own = createContext({ tenant: key<string>(), user: key<string>() })

  t.test('sees values that ctx or a bound function sets around it, also in scopes that it opens', async (t) => {
    const go = gate()
    const seen: unknown[] = []
    await own.run({ tenant: 'acme' }, async () => {
      let bound = (): unknown => undefined
      const work = own.run({}, () => {
        bound = own.bind(() => requestContext.get('user' as never))
        return {
          work: go.promise.then(() => {
            seen.push(own.get('user'), requestContext.get('user' as never))
            own.run({}, () => { seen.push(own.get('user'), own.get('tenant')) })
          })
        }
      })
      own.set('user', 'ada')
      seen.push(bound())
      own.set('user', 'lin')
      go.open()
      await work.work
    })
    t.same(seen, ['ada', 'lin', 'lin', 'lin', 'acme'])
  })

  t.test('keeps its own writes', async (t) => {
    const go = gate()
    const seen: unknown[] = []
    await own.run({ tenant: 'acme' }, async () => {
      const { work } = own.run({ tenant: 'globex' }, () => {
        requestContext.set('user' as never, 'ada' as never)
        return { work: go.promise.then(() => { seen.push(own.get('tenant'), own.get('user')) }) }
      })
      own.set('tenant', 'late')
      own.set('user', 'late')
      go.open()
      await work
    })
    t.same(seen, ['globex', 'ada'])
  })
})

t.test('a write reaches the innermost of thousands of nested runs', async (t) => {
  const own = createContext({ step: key<number>(), tenant: key<string>() })
  let depth = 0
  const seen = await own.run({}, async () => {
    const around = own.snapshot()
    const down = async (): Promise<unknown> => {
      await null
      if (++depth < 5000) return await own.run({ step: depth }, down)
      around(() => { own.set('tenant', 'acme') })
      return [own.get('step'), own.get('tenant')]
    }
    return await down()
  })
  t.same(seen, [4999, 'acme'])
})

t.test('a request whose last step is thousands of runs deep ends, as do others in the same turn', async (t) => {
  const own = createContext({ step: key<number>() })
  const app = Fastify()
  await app.register(own.plugin)
  let ends = 0
  app.get('/', async () => {
    own.onEnd(() => { ends++ })
    const done = gate()
    let step = 0
    const tick = (): void => {
      if (++step === 20_000) return done.open()
      own.run({ step }, () => { step % 100 === 0 ? setImmediate(tick) : queueMicrotask(tick) })
    }
    tick()
    await done.promise
    return 'ok'
  })
  const { url } = await listen(t, app)
  const answers = await Promise.all([1, 2, 3].map(async () => (await fetch(url, { headers: { connection: 'close' } })).text()))
  t.same(answers, ['ok', 'ok', 'ok'])
  await turns(10)
  t.equal(ends, 3)
})

t.test('a refused run keeps nothing in memory', async (t) => {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc') as () => void
  const own = createContext({ tenant: key<string>({ locked: true }), payload: key<object>() })
  const refused = (): Array<WeakRef<object>> => ['tenant', 'unknown', 'payload'].map((name) => {
    const payload = {}
    t.throws(() => own.run({ payload, [name]: payload } as never, (name === 'payload' ? 'no function' : () => {}) as never))
    return new WeakRef(payload)
  })
  await own.run({ tenant: 'acme' }, async () => {
    const held = refused()
    await turns()
    gc()
    t.same(held.map((reference) => reference.deref()), [undefined, undefined, undefined])
  })
})

t.test('a refused run has no side effects: no warning, no timer, no span attribute', async (t) => {
  const seen = warnings(t, 'FST_CTX_STILL_OPEN')
  const told: unknown[] = []
  const span = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331', traceFlags: 1 } as never
  const own = createContext({ tenant: key<string>({ log: true }), plan: key<string>({ locked: true }) }, {
    trace: { current: () => span, requestSpan: () => span, withParent: (_trace, fn) => fn(), attributes: new Map([['tenant', 'app.tenant']]), setAttribute: (_trace, ...what) => { told.push(what) } }
  })
  const app = Fastify()
  await app.register(own.plugin)
  const failing = { get tenant (): string { throw new Error('a getter that throws') } }
  app.get('/', async () => {
    own.set('plan', 'free')
    const refused: ReadonlyArray<() => unknown> = [
      () => own.run({}, () => {}, { limit: 1 } as never),
      () => own.run({}, () => {}, { timeout: -1 }),
      () => own.run({}, () => {}, { timeout: 5, deadline: 'never' as never }),
      () => own.run({}, () => {}, { signal: {} as never }),
      () => own.run({ tenant: 'acme', plan: 'paid' }, () => {}),
      () => own.run({ tenant: 'acme', unknown: 1 } as never, () => {}),
      () => own.run({ tenant: 'acme', requestId: 'id' } as never, () => {}),
      () => own.run({ tenant: 'acme' }, 'no function' as never),
      () => own.run({ tenant: 'acme', requestId: '' } as never, () => {}, { inherit: false }),
      () => own.run(null as never, () => {}),
      () => own.run(failing, () => {}),
      () => own.impersonate({ tenant: 'acme', unknown: 1 } as never, { reason: 'ticket' }, () => {})
    ]
    for (const run of refused) t.throws(run)
    await t.rejects(own.hydrate('', 'no function' as never))
    return 'ok'
  })
  const { url } = await listen(t, app)
  t.equal(await (await fetch(url, { headers: { connection: 'close' } })).text(), 'ok')
  await sleep(40)
  t.same([seen, told], [[], []])
})

t.test('a run in an ended request is a root: id, set, cache, onEnd and nested runs work, and request.ctx acts on it', async (t) => {
  const lines = new Lines(t)
  const app = Fastify({ logger: { stream: lines } })
  const own = createContext({ tenant: key<string>({ log: true, seed: () => 'acme' }), plan: key<string>({ locked: true, seed: () => 'free' }) })
  await app.register(own.plugin)
  const [late, done] = [gate(), gate<unknown>()]
  app.get('/', async (request) => {
    const access = request.ctx as unknown as RequestContext<ValuesOf<typeof own>>
    late.promise.then(async () => {
      const before = [own.get('tenant'), own.explain('tenant').state]
      const ends: unknown[] = []
      const result = await own.run({ tenant: 'globex', plan: 'paid' }, async () => {
        own.onEnd(() => { ends.push(own.get('tenant')) })
        own.cache.set('k', 7)
        const [id, explained] = [own.require('requestId'), own.explain('tenant').by]
        own.set('tenant', 'initech')
        own.log.info('within')
        await sleep(5)
        return [id === request.id, explained, own.explain('tenant').phase, own.cache.get('k'), own.require('tenant'), access.get('tenant'), own.run({}, () => own.get('plan')), own.explain('requestId').by]
      })
      access.run({}, () => { access.set('tenant', 'by request.ctx'); ends.push(access.tenant, own.get('tenant')) })
      await sleep(5)
      done.open([before, result, ends])
    }).catch((error: unknown) => { done.open(error) })
    return 'ok'
  })
  const { url } = await listen(t, app)
  await (await fetch(url, { headers: { connection: 'close' } })).text()
  await sleep(30)
  late.open()
  t.same(await done.promise, [[undefined, 'ended'], [false, 'run', 'a job', 7, 'initech', 'initech', 'paid', 'run'], ['initech', 'by request.ctx', 'by request.ctx']])
  t.match(lines.one('within'), { tenant: 'initech', reqId: String })
})

t.test('a copy of a store is not a scope: requestContext reads the copy, ctx does not, and the request is not written', async (t) => {
  const seen = warnings(t, 'FST_CTX_COPIED_STORE')
  const lines = new Lines(t)
  const app = Fastify({ logger: { stream: lines } })
  const own = createContext({ tenant: key<string>({ log: true, carry: true, header: 'x-tenant', seed: () => 'acme' }) }, { propagate: { 'https://api.example': ['tenant'] } })
  await app.register(own.plugin)
  app.get('/', async () => {
    const copies: object[] = [{ ...requestContext.getStore(), tenant: 'globex' }, Object.assign(Object.create(requestContext.getStore() as unknown as object) as object, { tenant: 'globex' })]
    for (const copy of copies) {
      await asyncLocalStorage.run(copy as never, async () => {
        await sleep(1)
        t.equal(requestContext.get('tenant' as never), 'globex')
        t.same([own.get('tenant'), own.has('tenant'), own.actor('tenant'), own.headersFor('https://api.example/'), own.explain('tenant').state], [undefined, false, undefined, {}, 'no scope'])
        for (const call of [() => own.set('tenant', 'x'), () => own.require('tenant'), () => own.dehydrate(), () => own.cache, () => { own.onEnd(() => {}) }]) t.throws(call, { code: 'FST_CTX_NO_SCOPE' })
        app.log.info('in the copy')
        own.run({}, () => { t.equal(own.get('tenant'), undefined, 'a root') })
        const detached = gate<unknown>()
        own.detach(() => { detached.open(own.get('tenant')) })
        t.equal(await detached.promise, undefined)
      })
    }
    return own.get('tenant')
  })
  const { url } = await listen(t, app)
  t.equal(await (await fetch(url, { headers: { connection: 'close' } })).text(), 'acme')
  for (const line of lines.all('in the copy')) t.equal(line.tenant, undefined)
  t.equal(seen.length, 1)
  t.match(seen[0]!.message, /run\.test\.ts/)
  const silent = createContext({ tenant: key<string>() }, { diagnostics: false })
  silent.run({ tenant: 'acme' }, () => { asyncLocalStorage.run({ ...requestContext.getStore() } as never, () => { t.equal(silent.get('tenant'), undefined) }) })
})

t.test('1,000 runs may be nested', async (t) => {
  const deep = createContext({ step: key<number>() })
  const nest = (depth: number): number | undefined => depth === 0 ? deep.get('step') : deep.run({ step: depth }, () => nest(depth - 1))
  t.equal(nest(1000), 1)
})
