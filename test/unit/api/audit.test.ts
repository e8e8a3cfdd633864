import diagnostics from 'node:diagnostics_channel'
import Fastify from 'fastify'
import t from 'tap'
import type { ImpersonateMessage } from '../../../lib/api/audit.ts'
import context, { createContext, ctx as readyMade, key, type ImpersonateRequest, type OnImpersonate } from '../../../lib/index.ts'
import { gate, Lines, listen, turns, type Tap } from '../../support/support.ts'

interface User { readonly id: string, readonly password: string }

const keys = { tenant: key<string>({ log: true, locked: true }), user: key<User>({ log: ({ id }) => id }), token: key<string>() }
const ctx = createContext(keys)
const [ada, bob] = [{ id: 'ada', password: 'canary' }, { id: 'bob', password: 'canary' }]

type Heard = ImpersonateMessage & { readonly seen: string | undefined }

/** All messages while a test runs, with the user that a subscriber sees. */
function listenIn (t: Tap, context: Pick<typeof ctx, 'get'> = ctx): Heard[] {
  const heard: Heard[] = []
  const subscriber = (message: unknown): void => { heard.push({ ...message as ImpersonateMessage, seen: context.get('user')?.id }) }
  diagnostics.subscribe('fastify-ctx:impersonate', subscriber)
  t.teardown(() => { diagnostics.unsubscribe('fastify-ctx:impersonate', subscriber) })
  return heard
}

t.test('the channel publishes the start and the end of an impersonation, with logged values only', async (t) => {
  const heard = listenIn(t)
  const result = ctx.run({ requestId: 'job-1', tenant: 'acme', user: ada, token: 'canary' }, () => {
    return ctx.impersonate({ user: bob, token: 'canary 2' }, { reason: 'ticket 1' }, () => {
      t.same(heard.map(({ phase }) => phase), ['start'])
      return 'done'
    })
  })
  t.equal(result, 'done')
  const message = { requestId: 'job-1', route: undefined, reason: 'ticket 1', keys: ['user', 'token'], fields: { tenant: 'acme', user: 'bob' }, actor: { user: 'ada' }, error: undefined, seen: 'bob' }
  t.same(heard.map(({ impersonation, ...rest }) => rest), [{ ...message, phase: 'start', outcome: undefined }, { ...message, phase: 'end', outcome: 'returned' }])
  t.equal(heard[0]!.impersonation, heard[1]!.impersonation)
  t.same(heard[0]!.impersonation, {})
  t.notMatch(JSON.stringify(heard), /canary/)
})

t.test('the outcome of an impersonation is how its function ended', async (t) => {
  const error = new Error('failed')
  const rejected = async (): Promise<never> => { await turns(1); throw error }
  for (const [what, fn, outcome] of [
    ['returns', () => 1, 'returned'],
    ['throws', () => { throw error }, 'threw'],
    ['resolves', async () => { await turns(1); return 1 }, 'returned'],
    ['rejects', rejected, 'threw'],
    ['returns a thenable of its own', () => ({ then: () => {} }), 'returned'],
    ['returns a generator', function * () { yield 1 }, 'returned']
  ] as const) {
    await t.test(what, async (t) => {
      const heard = listenIn(t)
      await ctx.run({ user: ada }, async () => {
        let settled: unknown
        try {
          settled = ctx.impersonate({ user: bob }, { reason: 'r' }, fn as () => unknown)
          if (settled instanceof Promise) t.equal(heard.length, 1)
          if (settled instanceof Promise) await settled
        } catch (thrown) {
          t.equal(thrown, error)
        }
      })
      t.same(heard.map(({ phase, outcome, error }) => [phase, outcome, error]), [['start', undefined, undefined], ['end', outcome, outcome === 'threw' ? error : undefined]])
    })
  }
})

t.test('nested and concurrent impersonations are published separately', async (t) => {
  const heard = listenIn(t)
  const gates = [gate(), gate()]
  await ctx.run({ user: ada }, async () => {
    const both = gates.map((each, i) => ctx.impersonate({ tenant: `t${i}` }, { reason: `r${i}` }, async () => {
      await each.promise
      ctx.impersonate({ user: bob }, { reason: `inner ${i}` }, () => {})
    }))
    gates[1]!.open()
    await both[1]
    gates[0]!.open()
    await both[0]
  })
  t.same(heard.map(({ phase, reason }) => `${phase} ${reason}`), ['start r0', 'start r1', 'start inner 1', 'end inner 1', 'end r1', 'start inner 0', 'end inner 0', 'end r0'])
  t.same(heard.find(({ reason }) => reason === 'inner 1')!.actor, { user: 'ada' })
})

t.test('the end comes after the onEnd callbacks of the impersonation', async (t) => {
  const heard = listenIn(t)
  const order: string[] = []
  await ctx.run({ user: ada }, async () => {
    await ctx.impersonate({ user: bob }, { reason: 'r' }, async () => {
      ctx.onEnd(async () => { await turns(1); order.push(`callback, ${heard.length} published`) })
    })
  })
  while (heard.length < 2) await turns()
  t.same(order, ['callback, 1 published'])
})

t.test('the function keeps its name in ctx.inFlight()', async (t) => {
  listenIn(t)
  ctx.inFlight()
  const open = gate()
  const done = ctx.run({ user: ada }, () => ctx.impersonate({ user: bob }, { reason: 'r' }, async function showInvoices () { await open.promise }))
  t.same(ctx.inFlight().scopes.map(({ name }) => name), [undefined, 'showInvoices'])
  open.open()
  await done
})

t.test('in a request: its id and route; if a hook calls done in it, it ends with the request', async (t) => {
  const lines = new Lines(t)
  const heard = listenIn(t)
  const app = Fastify({ logger: { stream: lines, redact: ['user'] } })
  const own = createContext(keys)
  await app.register(own.plugin)
  let answered = false
  app.addHook('preHandler', (request, _reply, done) => {
    own.set('user', ada)
    own.impersonate({ user: bob }, { reason: 'ticket 1' }, done)
  })
  app.get('/notes/:id', async () => {
    await turns(1)
    t.same(heard.map(({ phase }) => phase), ['start'])
    answered = true
    return own.get('user')?.id
  })
  const { url } = await listen(t, app)
  t.equal(await (await fetch(`${url}/notes/1`, { headers: { 'x-request-id': 'r-1' } })).text(), 'bob')
  while (heard.length < 2) await turns()
  t.ok(answered)
  t.same(heard.map(({ phase, outcome, requestId, route, fields }) => [phase, outcome, requestId, route, fields]), [
    ['start', undefined, 'r-1', '/notes/:id', { user: '[Redacted]' }],
    ['end', 'returned', 'r-1', '/notes/:id', { user: '[Redacted]' }]
  ])
})

t.test('rest: true: the start in the hook, the end with the request, and onImpersonate may refuse it', async (t) => {
  const own = createContext(keys, { onImpersonate: ({ reason }) => reason !== 'bad' })
  const heard = listenIn(t, own)
  const app = Fastify()
  await app.register(own.plugin)
  app.addHook('preHandler', async ({ headers }) => {
    own.set('user', ada)
    own.impersonate({ user: bob }, { reason: headers['x-reason'] as string, rest: true })
  })
  app.get('/', async () => {
    await turns(1)
    return `${own.get('user')?.id}, ${heard.map(({ phase }) => phase).join()}`
  })
  const { url } = await listen(t, app)
  const get = async (reason: string): Promise<Response> => await fetch(url, { headers: { 'x-reason': reason } })
  t.equal(await (await get('good')).text(), 'bob, start')
  while (heard.length < 2) await turns()
  t.equal((await get('bad')).status, 403)
  t.same(heard.map(({ phase, outcome, seen }) => [phase, outcome, seen]), [['start', undefined, 'bob'], ['end', 'returned', 'bob'], ['refused', undefined, 'ada']])
})

t.test('onImpersonate is called in the scope of the caller, before anything runs', async (t) => {
  const asked: Array<ImpersonateRequest & { readonly seen: unknown }> = []
  const guarded = createContext(keys, { onImpersonate: (request) => { asked.push({ ...request, seen: guarded.get('user') }) } })
  const heard = listenIn(t, guarded)
  guarded.run({ requestId: 'job-1', user: ada, tenant: 'acme' }, () => {
    guarded.impersonate({ tenant: 'globex', token: 'canary' }, { reason: 'ticket 1' }, () => { t.equal(asked.length, 1) })
  })
  t.same(asked, [{ requestId: 'job-1', route: undefined, reason: 'ticket 1', keys: ['tenant', 'token'], fields: { tenant: 'globex', user: 'ada' }, actor: { tenant: 'acme' }, seen: ada }])
  t.same(heard.map(({ phase }) => phase), ['start', 'end'])
})

t.test('any result of onImpersonate except true or undefined refuses: nothing runs or changes, and subscribers get no message', async (t) => {
  const heard = listenIn(t)
  const cause = new Error('not you')
  for (const [what, onImpersonate, message] of [
    ['throws', () => { throw cause }, /it threw, which is the cause/],
    ['is async and rejects', async () => { await turns(1) }, /a value of type object/],
    ['false', () => false, /it returned false/],
    ['a promise', async () => true, /a value of type object/],
    ['null', () => null, /a value of type object/],
    ['1', () => 1, /a value of type number/]
  ] as const) {
    const guarded = createContext(keys, { onImpersonate: onImpersonate as OnImpersonate })
    guarded.run({ user: ada }, () => {
      let ran = false
      t.throws(() => guarded.impersonate({ user: bob }, { reason: 'r' }, () => { ran = true }), { code: 'FST_CTX_IMPERSONATION_REFUSED', statusCode: 403, message, ...what === 'throws' && { cause } }, what)
      t.same([ran, guarded.get('user'), guarded.actor('user')], [false, ada, ada])
      const { phase, outcome, error, reason } = heard.pop()!
      t.match([phase, outcome, error, reason], ['refused', undefined, { code: 'FST_CTX_IMPERSONATION_REFUSED' }, 'r'])
    })
  }
  t.same(heard, [])
  for (const allows of [() => true, () => undefined]) {
    const guarded = createContext(keys, { onImpersonate: allows })
    t.equal(guarded.run({ user: ada }, () => guarded.impersonate({ user: bob }, { reason: 'r' }, () => guarded.get('user'))), bob)
  }
})

t.test('without subscribers onImpersonate is still called, and later subscribers get nothing of it', async (t) => {
  const guarded = createContext(keys, { onImpersonate: ({ reason }) => reason === 'good' })
  await guarded.run({ user: ada }, async () => {
    t.throws(() => guarded.impersonate({ user: bob }, { reason: 'bad' }, () => {}), { code: 'FST_CTX_IMPERSONATION_REFUSED' })
    const open = gate()
    const running = guarded.impersonate({ user: bob }, { reason: 'good' }, () => open.promise)
    const heard = listenIn(t)
    open.open()
    await running
    t.same(heard, [])
  })
})

t.test('several applications that share the ready-made context must all allow an impersonation outside their requests', async (t) => {
  const asked: string[] = []
  for (const name of ['first', 'second']) {
    const app = Fastify()
    await app.register(context, { keys: { tenant: { log: true } } as never, onImpersonate: ({ reason }) => { asked.push(name); return reason !== `not ${name}` } })
    await app.ready()
    t.teardown(() => app.close())
  }
  for (const reason of ['yes', 'not first', 'not second']) {
    const act = (): unknown => readyMade.run({}, () => readyMade.impersonate({ tenant: 'x' } as never, { reason }, () => 'done'))
    if (reason === 'yes') t.equal(act(), 'done')
    else t.throws(act, { code: 'FST_CTX_IMPERSONATION_REFUSED' })
  }
  t.same(asked, ['first', 'second', 'first', 'first', 'second'])
})
