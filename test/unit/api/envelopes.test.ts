import net from 'node:net'
import { requestContext } from '@fastify/request-context'
import Fastify, { type FastifyInstance } from 'fastify'
import { pino } from 'pino'
import t from 'tap'
import context, { createContext, ctx as readyMade, key, type Trace, type Tracing } from '../../../lib/index.ts'
import { gate, Lines, listen, turns, warnings } from '../../support/support.ts'

const SECRETS = ['first', 'second', 'third'].map((name) => `${name} secret of more than 32 characters`) as [string, string, string]
const PARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'

const ctx = createContext({
  tenant: key<string>({ seed: ({ headers }) => headers['x-tenant'], log: true, carry: true, locked: true }),
  user: key<string>({ log: true, carry: true }),
  settings: key<{ theme: string }>({ carry: true }),
  token: key<string>()
})

/** Everything that code can see of the values, by any API. */
function seen (): unknown[] {
  return [ctx.get('tenant'), ctx.get('user'), ctx.get('token'), ctx.actor('user'), requestContext.get('tenant' as never), ctx.cache.get('kept'), ctx.deadline]
}

function envelopeOf (tenant: string, user?: string): string {
  return ctx.run({ tenant, user, requestId: `of-${tenant}` }, () => ctx.dehydrate(), { inherit: false })
}

t.test('dehydrate throws without a scope, after its end and with invalid options', async (t) => {
  t.throws(() => ctx.dehydrate(), { code: 'FST_CTX_NO_SCOPE' })
  const [late, ended] = [gate<() => string>(), gate()]
  const app: FastifyInstance = Fastify()
  await app.register(ctx.plugin)
  app.get('/', async (request) => {
    ctx.onEnd(() => { ended.open() })
    late.open(() => (request.ctx as never as typeof ctx).dehydrate())
    return ctx.dehydrate()
  })
  const { url } = await listen(t, app)
  const sent = await (await fetch(url, { headers: { 'x-tenant': 'acme', 'x-request-id': 'r-1' } })).text()
  t.equal(sent, '{"v":1,"requestId":"r-1","values":{"tenant":"acme"}}')
  await ended.promise
  await turns()
  t.throws(await late.promise, { code: 'FST_CTX_ENDED' })
  ctx.run({}, () => {
    for (const options of [null, { remainig: false }, { remaining: 'no' }, { remaining: 0 }]) t.throws(() => ctx.dehydrate(options as never), { code: 'FST_CTX_INVALID_ARGUMENT' }, JSON.stringify(options))
  })
})

t.test('hydrate returns what its function returns, of any kind, and runs it in its own scope', async (t) => {
  const envelope = envelopeOf('acme')
  const kinds: Array<() => unknown> = [() => ctx.get('tenant'), async () => ctx.get('tenant'), async () => { await turns(); return ctx.get('tenant') }]
  for (const fn of kinds) t.equal(await ctx.hydrate(envelope, fn), 'acme')
  t.equal(await ctx.hydrate(envelope, () => {}), undefined)
  const error = new Error('within')
  for (const fn of [() => { throw error }, async () => { throw error }]) t.equal(await ctx.hydrate(envelope, fn).catch((caught: unknown) => caught), error)
  for (const fn of [undefined, 'fn', {}]) await t.rejects(ctx.hydrate(envelope, fn as never), { code: 'FST_CTX_INVALID_ARGUMENT' })
  t.equal(ctx.get('requestId'), undefined, 'no scope stays open')
})

t.test('a lazy thenable is awaited in the hydrated scope, also after an invalid envelope', async (t) => {
  const query = (): PromiseLike<unknown> => ({ then: (resolve) => Promise.resolve(ctx.get('tenant')).then(resolve) })
  await ctx.run({ tenant: 'globex' }, async () => {
    t.equal(await ctx.hydrate(envelopeOf('acme'), query), 'acme')
    t.equal(await ctx.hydrate('no envelope', query), undefined)
  })
})

t.test('hydrate in another scope opens a root that sees nothing of it, with a valid or an invalid envelope, and then restores it', async (t) => {
  await ctx.run({ tenant: 'globex', user: 'eve', token: 's3cret' }, async () => {
    await ctx.impersonate({ user: 'victim' }, { reason: 'r' }, async () => {
      ctx.cache.set('kept', 'of globex')
      const { signal } = ctx
      const load = ctx.memo(() => ctx.get('tenant'))
      t.equal(load(), 'globex')
      const around = seen()
      await ctx.hydrate(envelopeOf('acme', 'ada'), async () => {
        t.same(seen(), ['acme', 'ada', undefined, 'ada', 'acme', undefined, undefined])
        t.equal(ctx.get('requestId'), 'of-acme')
        t.not(ctx.signal, signal)
        t.equal(load(), 'acme')
        ctx.set('user', 'lin')
        ctx.cache.set('kept', 'of acme')
      })
      for (const bad of [undefined, '', '{"v":2}', '{"v":1,"requestId":"r","values":{"__proto__":{"tenant":"evil"}}}']) {
        await ctx.hydrate(bad, async () => {
          t.same(seen(), Array(7).fill(undefined))
          t.match(ctx.get('requestId'), /^[\da-f-]{36}$/, 'its own id')
          t.not(ctx.signal, signal)
          t.equal(load(), undefined)
          ctx.set('user', 'lin')
        })
      }
      t.same(seen(), around)
      t.equal(ctx.signal, signal)
    })
  })
})

t.test('concurrent hydrated scopes of different tenants never see each other, in any order of ending', async (t) => {
  const tenants = ['acme', 'globex', 'initech', 'hooli']
  for (const order of [tenants, tenants.toReversed()]) {
    const gates = new Map(tenants.map((tenant) => [tenant, { entered: gate(), left: gate() }]))
    const looks: string[] = []
    // Half of them begin inside the first scope, which ends before or after they do.
    const start = (tenant: string): Promise<void> => ctx.hydrate(envelopeOf(tenant, `user of ${tenant}`), async () => {
      const { entered, left } = gates.get(tenant)!
      const look = (): void => { looks.push(...[ctx.get('requestId'), ctx.get('tenant'), ctx.get('user'), requestContext.get('tenant' as never)].map((value) => String(value).endsWith(tenant) ? tenant : `${tenant} saw ${value}`)) }
      look()
      if (tenant === 'acme') within.push(start('initech'), start('hooli'))
      entered.open()
      await left.promise
      look()
      await turns()
      look()
    })
    const within: Array<Promise<void>> = []
    const all = [start('acme'), start('globex')]
    await Promise.all([...gates.values()].map(({ entered }) => entered.promise))
    for (const tenant of order) {
      gates.get(tenant)!.left.open()
      await turns(6)
    }
    await Promise.all([...all, ...within])
    t.same(looks.toSorted(), tenants.flatMap((tenant) => Array<string>(12).fill(tenant)).toSorted())
  }
})

t.test('hydrate in a request of another tenant sees nothing of it, not even its cache, signal, logger or id, and leaves it unchanged', async (t) => {
  const lines = new Lines(t)
  const app: FastifyInstance = Fastify({ logger: { stream: lines } })
  await app.register(ctx.plugin)
  const [entered, gone, done] = [gate(), gate(), gate<unknown[]>()]
  app.get('/', async (request) => {
    ctx.cache.set('kept', 'of globex')
    ctx.signal.addEventListener('abort', () => { gone.open() })
    await ctx.hydrate(envelopeOf('acme', 'ada'), async () => {
      const { signal } = ctx
      entered.open()
      await gone.promise
      ctx.log.info('by ctx.log')
      app.log.info('by app.log')
      request.log.info('by request.log')
      done.open([...seen(), signal.aborted, ctx.require('requestId')])
    })
    ctx.log.info('afterwards')
  })
  const { port } = await listen(t, app)
  const socket = net.connect(port, '127.0.0.1')
  socket.write('GET / HTTP/1.1\r\nhost: x\r\nx-tenant: globex\r\nx-request-id: of-globex\r\n\r\n')
  await entered.promise
  socket.destroy()
  t.same(await done.promise, ['acme', 'ada', undefined, 'ada', 'acme', undefined, undefined, false, 'of-acme'], 'the client of the request does not affect the job')
  await lines.until('afterwards')
  const acme = { reqId: 'of-acme', tenant: 'acme', user: 'ada' }
  t.match(lines.one('by ctx.log'), acme)
  t.match(lines.one('by app.log'), acme)
  // The logger of a request always writes for that request.
  t.match(lines.one('by request.log'), { reqId: 'of-globex', tenant: 'globex', user: undefined })
  t.match(lines.one('afterwards').reqId, 'of-globex')
})

t.test('a locked key stays locked in a hydrated scope, and only impersonate may shadow it', async (t) => {
  await ctx.hydrate(envelopeOf('acme'), () => {
    t.throws(() => { ctx.set('tenant', 'globex') }, { code: 'FST_CTX_LOCKED' })
    t.throws(() => { ctx.run({ tenant: 'globex' }, () => {}) }, { code: 'FST_CTX_LOCKED' })
    t.throws(() => { requestContext.set('tenant' as never, 'globex' as never) }, TypeError)
    t.same(ctx.impersonate({ tenant: 'globex' }, { reason: 'r' }, () => [ctx.get('tenant'), ctx.actor('tenant')]), ['globex', 'acme'])
    ctx.set('user', 'ada')
    t.equal(ctx.get('user'), 'ada')
  })
})

t.test('an impersonation is carried from process to process: the outermost actor and the innermost reason are on each log line', async (t) => {
  const lines = new Lines(t)
  const logger = pino({ mixin: ctx.mixin }, lines)
  const first = ctx.run({ tenant: 'acme', user: 'support' }, () => ctx.impersonate({ tenant: 'globex' }, { reason: 'outer' }, () => ctx.impersonate({ tenant: 'initech', user: 'ada', token: 'x' }, { reason: 'inner' }, () => ctx.dehydrate())))
  const second = await ctx.hydrate(first, () => ctx.dehydrate())
  t.same({ ...JSON.parse(second) as object, requestId: 0 }, { ...JSON.parse(first) as object, requestId: 0 })
  await ctx.hydrate(second, () => {
    t.same([ctx.get('tenant'), ctx.get('user'), ctx.actor('tenant'), ctx.actor('user'), ctx.get('token')], ['initech', 'ada', 'acme', 'support', undefined])
    logger.info('acted')
    ctx.impersonate({ user: 'lin' }, { reason: 'innermost' }, () => { t.same([ctx.get('user'), ctx.actor('user')], ['lin', 'support']) })
  })
  t.match(lines.one('acted'), { tenant: 'initech', user: 'ada', actor: { tenant: 'acme', user: 'support' }, reason: 'inner' })
  const unset = ctx.run({}, () => ctx.impersonate({ user: 'ada' }, { reason: 'r' }, () => ctx.dehydrate()))
  await ctx.hydrate(unset, () => { t.strictSame([ctx.get('user'), ctx.actor('user')], ['ada', undefined]) })
})

t.test('the remaining time is carried: ctx.deadline counts down, and ctx.signal is aborted when it has passed', async (t) => {
  const left = (envelope: string): number | undefined => (JSON.parse(envelope) as { remaining?: number }).remaining
  const envelope = ctx.run({}, () => ctx.run({}, () => ctx.dehydrate()), { timeout: 60_000 })
  t.ok(left(envelope)! > 50_000 && left(envelope)! <= 60_000)
  t.equal(ctx.run({}, () => left(ctx.dehydrate({ remaining: false })), { timeout: 60_000 }), undefined)
  t.equal(ctx.run({}, () => left(ctx.dehydrate({ remaining: true }))), undefined)
  t.equal(ctx.run({}, () => left(ctx.dehydrate()), { deadline: 0 }), 0)
  for (const timeout of [Number.MAX_SAFE_INTEGER, Number.MAX_VALUE]) {
    const forever = ctx.run({ user: 'ada' }, () => ctx.dehydrate(), { timeout })
    await ctx.hydrate(forever, () => { t.same([ctx.get('user'), ctx.deadline! > 1e12, ctx.signal.aborted], ['ada', true, false]) })
  }
  const { now } = Date
  t.teardown(() => { Date.now = now })
  await ctx.hydrate(envelope.replace(/"remaining":\d+/, '"remaining":60000'), () => {
    const before = ctx.deadline!
    Date.now = () => now() + 20_000
    t.ok(before - ctx.deadline! >= 20_000 && ctx.deadline! > 30_000)
    t.ok(left(ctx.dehydrate())! <= 40_000, 'the next process gets less')
    t.ok(ctx.run({}, () => ctx.deadline!, { timeout: 120_000 }) <= 40_000)
    t.equal(ctx.run({}, () => ctx.deadline, { inherit: false }), undefined)
    Date.now = now
  })
  const late = { code: 'FST_CTX_DEADLINE', name: 'TimeoutError' }
  for (const remaining of [0, 20]) {
    const reason = await ctx.hydrate(`{"v":1,"requestId":"r","values":{"tenant":"acme"},"remaining":${remaining}}`, async () => {
      const { signal } = ctx
      // Signal timers do not keep the process alive.
      const alive = setTimeout(() => {}, 60_000)
      await new Promise<void>((resolve) => { if (signal.aborted) resolve(); else signal.addEventListener('abort', () => { t.equal(ctx.get('tenant'), 'acme'); resolve() }) })
      clearTimeout(alive)
      return signal.reason as unknown
    })
    t.match(reason, late)
  }
})

t.test('onEnd, after and detach work in a hydrated scope as in any root', async (t) => {
  const order: unknown[] = []
  const [detached, after] = [gate(), gate()]
  await ctx.hydrate(envelopeOf('acme'), async () => {
    const note = (what: string) => (): void => { order.push([what, ctx.get('tenant'), ctx.get('requestId')]) }
    ctx.onEnd(note('first given'))
    ctx.onEnd(note('last given'))
    ctx.after(() => { note('after')(); t.equal(ctx.explain('tenant').by, 'detach'); after.open() })
    ctx.detach(async () => { await turns(); note('detached')(); detached.open() })
    await turns(1)
    order.push('work')
  })
  await Promise.all([detached.promise, after.promise])
  t.same(order.slice(0, 3), ['work', ['last given', 'acme', 'of-acme'], ['first given', 'acme', 'of-acme']])
  t.same(order.slice(3).map((noted) => JSON.stringify(noted)).toSorted(), [['after', 'acme', 'of-acme'], ['detached', 'acme', 'of-acme']].map((noted) => JSON.stringify(noted)))
  await t.rejects(ctx.hydrate(envelopeOf('acme'), () => { ctx.onEnd(() => { order.push('failed') }); throw new Error('within') }), { message: 'within' })
  t.equal(order.at(-1), 'failed')
})

t.test('hydrating one envelope twice gives two independent scopes', async (t) => {
  const envelope = ctx.run({ settings: { theme: 'dark' } }, () => ctx.dehydrate())
  await ctx.hydrate(envelope, () => { ctx.require('settings').theme = 'light' })
  await ctx.hydrate(envelope, () => { t.same(ctx.get('settings'), { theme: 'dark' }) })
})

t.test('hydrate does not change the current scope of another context, whose envelopes are separate', async (t) => {
  const other = createContext({ flavour: key<string>({ carry: true }), tenant: key<string>() })
  await other.run({ flavour: 'sweet', tenant: 'of the other' }, async () => {
    await ctx.hydrate(envelopeOf('acme'), () => {
      t.same([ctx.get('tenant'), other.get('flavour'), other.get('tenant')], ['acme', 'sweet', 'of the other'])
      t.notMatch(ctx.dehydrate(), 'sweet')
      t.same((JSON.parse(other.dehydrate()) as { values: unknown }).values, { flavour: 'sweet' })
    })
    // The envelope of the other context: its keys are unknown here, or not carried.
    await other.hydrate(envelopeOf('acme'), () => { t.equal(other.get('tenant'), undefined) })
  })
})

t.test('envelope secrets: the current and previous ones verify, and any other signature is refused before any work starts', async (t) => {
  const [oldest, previous, current] = SECRETS
  const signing = (...secrets: string[]) => createContext({ tenant: key<string>({ carry: { pack: (id) => id, unpack: (id: string) => { unpacked.push(id); return id } } }) }, { envelope: { secrets, ttl: 60_000 } })
  const unpacked: string[] = []
  const [before, now] = [signing(previous, oldest), signing(current, previous)]
  for (const sender of [before, now]) t.equal(await now.hydrate(sender.run({ tenant: 'acme' }, () => sender.dehydrate()), () => now.get('tenant')), 'acme')
  const good = now.run({ tenant: 'acme' }, () => now.dehydrate())
  t.match(good, /^\{"v":1,"requestId":"[^"]+","values":\{"tenant":"acme"\},"issued":\d+,"signature":"[\w-]{43}"\}$/)
  await t.rejects(before.hydrate(good, () => {}), { code: 'FST_CTX_ENVELOPE_REFUSED' }, 'deploy new secrets to the readers first')
  const older = signing(oldest)
  unpacked.length = 0
  let called = false
  const told = warnings(t, 'FST_CTX_ENVELOPE')
  for (const bad of [older.run({ tenant: 'acme' }, () => older.dehydrate()), envelopeOf('acme'), good.replace('acme', 'evil'), undefined, 'x', good.slice(1)]) {
    await ctx.run({ tenant: 'globex' }, () => t.rejects(now.hydrate(bad, () => { called = true }), { code: 'FST_CTX_ENVELOPE_REFUSED', statusCode: 400 }))
  }
  const clock = Date.now
  t.teardown(() => { Date.now = clock })
  Date.now = () => clock() + 61_000
  await t.rejects(now.hydrate(good, () => { called = true }), { code: 'FST_CTX_ENVELOPE_REFUSED', message: 'ttl' }, 'a replay after the ttl')
  await turns()
  t.same([called, unpacked, told], [false, [], []])
})

t.test('an envelope bound to a job is refused by another job and by code that names none', async (t) => {
  const signed = createContext({ tenant: key<string>({ carry: true }) }, { envelope: { secrets: [SECRETS[0]] } })
  const bound = signed.run({ tenant: 'acme' }, () => signed.dehydrate({ for: 'report of 2026-11', remaining: false }))
  t.equal(await signed.hydrate(bound, () => signed.get('tenant'), { for: 'report of 2026-11' }), 'acme')
  for (const options of [undefined, {}, { for: 'report of 2026-12' }]) await t.rejects(signed.hydrate(bound, () => t.fail('it does not start'), options), { code: 'FST_CTX_ENVELOPE_REFUSED' })
  const unbound = signed.run({ tenant: 'acme' }, () => signed.dehydrate())
  await t.rejects(signed.hydrate(unbound, () => t.fail('it does not start'), { for: 'report of 2026-11' }), { code: 'FST_CTX_ENVELOPE_REFUSED' })
})

t.test('the option for is a non-empty string and requires signed envelopes', async (t) => {
  const signed = createContext({}, { envelope: { secrets: [SECRETS[0]] } })
  const invalid = { code: 'FST_CTX_INVALID_ARGUMENT' }
  for (const options of [{ for: '' }, { for: 7 }, { For: 'x' }, null]) {
    signed.run({}, () => { t.throws(() => signed.dehydrate(options as never), invalid, JSON.stringify(options)) })
    await t.rejects(signed.hydrate('', () => {}, options as never), invalid, JSON.stringify(options))
  }
  const open = createContext({})
  open.run({}, () => { t.throws(() => open.dehydrate({ for: 'x' }), { ...invalid, message: /envelope\.secrets/ }) })
  await t.rejects(open.hydrate('', () => {}, { for: 'x' }), { ...invalid, message: /envelope\.secrets/ })
})

t.test('the ready-made context takes keys, size limit and secrets from its registration', async (t) => {
  const anybody = await readyMade.hydrate('{"v":1,"requestId":"r","values":{"tenant":"acme"}}', () => readyMade.get('tenant'))
  t.equal(anybody, undefined, 'nothing is carried before the registration')
  const app = Fastify()
  await app.register(context, { keys: { tenant: { carry: true } }, envelope: { secrets: [SECRETS[0]], maxBytes: 512 } })
  const envelope = readyMade.run({ tenant: 'acme' }, () => readyMade.dehydrate())
  t.match(envelope, '"signature":"')
  t.equal(await readyMade.hydrate(envelope, () => readyMade.get('tenant')), 'acme')
  await t.rejects(readyMade.hydrate('{"v":1,"requestId":"r","values":{"tenant":"evil"}}', () => {}), { code: 'FST_CTX_ENVELOPE_REFUSED' })
  readyMade.run({ tenant: 'x'.repeat(512) }, () => { t.throws(() => readyMade.dehydrate(), { code: 'FST_CTX_ENVELOPE_TOO_LARGE', message: "'tenant' (514 bytes)" }) })
  await app.close()
})

t.test('the trace is carried, and comes from the tracer if there is one', async (t) => {
  const envelope = `{"v":1,"requestId":"r","values":{},"traceparent":"${PARENT}","tracestate":"a=1"}`
  await ctx.hydrate(envelope, () => {
    t.match(ctx.trace, { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331', traceFlags: 1 })
    t.equal(ctx.dehydrate(), envelope)
    t.equal(ctx.run({}, () => ctx.trace, { inherit: false }), undefined)
  })
  await ctx.hydrate(envelope.replace('a=1', 'not one'), () => { t.equal(ctx.dehydrate(), envelope.replace(',"tracestate":"a=1"', '')) })
  t.equal(ctx.trace, undefined)

  const span: Trace = { traceId: '1'.repeat(32), spanId: '2'.repeat(16), traceFlags: 1 }
  const within: Trace[] = []
  const active: { span?: Trace } = {}
  const tracing: Tracing = { current: () => active.span, requestSpan: () => undefined, withParent: (trace, fn) => { within.push(trace); return fn() }, attributes: new Map(), setAttribute: () => {} }
  const traced = createContext({ tenant: key<string>({ carry: true }) }, { trace: tracing })
  t.equal(await traced.hydrate(envelope, () => traced.trace?.traceId), '0af7651916cd43dd8448eb211c80319c')
  t.match(within, [{ spanId: 'b7ad6b7169203331' }])
  active.span = span
  t.same(await traced.hydrate(envelope, () => [traced.trace, within.length]), [span, 1], 'the span of the scope, if it has begun one')
})

t.test('headersFor and interceptor send nothing to an origin that is not listed', async (t) => {
  t.same(ctx.headersFor('https://api.example'), {})
  await ctx.hydrate(envelopeOf('acme'), () => { t.same(ctx.headersFor('https://api.example'), {}) })
  t.equal(typeof ctx.interceptor, 'function')
})

t.test('the request id of an envelope is accepted if the pattern allows it or the envelope is signed', async (t) => {
  const seen = warnings(t, 'FST_CTX_ENVELOPE_ID')
  const envelope = (requestId: string): string => JSON.stringify({ v: 1, requestId, values: { user: 'ada' } })
  const ids = async (of: typeof ctx, requestId: string): Promise<unknown> => await of.hydrate(envelope(requestId), () => [of.get('requestId'), of.get('user')])
  const policy = { user: key<string>({ carry: true }) } as never
  const outside = createContext(policy) as never as typeof ctx
  t.same(await ids(outside, 'job-1'), ['job-1', 'ada'])
  t.match(await ids(outside, '<script>"'), [/^[\w-]{36}$/, 'ada'])
  const strict = createContext(policy) as never as typeof ctx
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(strict.plugin, { requestId: { pattern: /^req-\d+$/g } })
  for (let i = 0; i < 2; i++) t.same(await ids(strict, 'req-7'), ['req-7', 'ada'])
  t.match(await ids(strict, 'job-1'), [/^[\w-]{36}$/, 'ada'])
  await turns()
  t.equal(seen.length, 1)

  const signing = createContext(policy, { envelope: { secrets: SECRETS } }) as never as typeof ctx
  const signed = signing.run({ requestId: 'jobs/7', user: 'ada' }, () => signing.dehydrate())
  t.equal(await signing.hydrate(signed, () => signing.get('requestId')), 'jobs/7')
})

t.test('hydrate: an unpack that never settles fails when the remaining time passes; one that settles works with any limit', async (t) => {
  let settles = false
  const slow = createContext({ tenant: key<string>({ carry: { pack: (tenant) => tenant, unpack: async (tenant) => { if (!settles) await new Promise(() => {}); return String(tenant) } } }) })
  const envelopeOf = (timeout?: number): string => slow.run({ tenant: 'acme' }, () => slow.dehydrate(), timeout === undefined ? undefined : { timeout })
  // The timer of a limit does not keep the process alive.
  const alive = setTimeout(() => {}, 60_000)
  t.teardown(() => { clearTimeout(alive) })
  for (const timeout of [0, 20]) await t.rejects(slow.hydrate(envelopeOf(timeout), () => { t.fail('is not called') }), { code: 'FST_CTX_DEADLINE' })
  settles = true
  for (const timeout of [0, 60_000, undefined]) t.equal(await slow.hydrate(envelopeOf(timeout), () => slow.get('tenant')), 'acme')
})
