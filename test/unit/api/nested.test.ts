import { requestContext } from '@fastify/request-context'
import Fastify from 'fastify'
import t from 'tap'
import { createContext, ctx as readyMade, key } from '../../../lib/index.ts'
import { gate, Lines, listen, turns } from '../../support/support.ts'

interface User { readonly id: string }

const ctx = createContext({ tenant: key<string>({ log: true }), user: key<User>(), count: key<number>() })

t.test('run', async (t) => {
  t.test('returns what the function returns, and restores the scope after a throw or a rejection', async (t) => {
    await ctx.run({ tenant: 'outer' }, async () => {
      t.equal(ctx.run({ tenant: 'inner' }, () => 7), 7)
      t.equal(await ctx.run({ tenant: 'inner' }, async () => { await turns(1); return ctx.get('tenant') }), 'inner')
      t.throws(() => ctx.run({ tenant: 'inner' }, () => { throw new Error('within') }), { message: 'within' })
      t.equal(ctx.get('tenant'), 'outer')
      await t.rejects(ctx.run({ tenant: 'inner' }, async () => { await turns(1); throw new Error('later') }), { message: 'later' })
      t.equal(ctx.get('tenant'), 'outer')
    })
    t.equal(ctx.get('tenant'), undefined)
  })

  t.test('a child scope reads current values of its parent and keeps its own writes', async (t) => {
    await ctx.run({ tenant: 'outer' }, async () => {
      const { promise, open } = gate()
      const child = ctx.run({ count: 1 }, async () => {
        await promise
        return [ctx.get('tenant'), ctx.get('count'), ctx.get('user')]
      })
      ctx.set('user', { id: 'ada' })
      open()
      t.same(await child, ['outer', 1, { id: 'ada' }])
      t.equal(ctx.has('count'), false)
    })
  })

  t.test('undefined hides the outer value', async (t) => {
    ctx.run({ tenant: 'outer' }, () => { ctx.run({ tenant: undefined }, () => { t.equal(ctx.get('tenant'), undefined) }) })
  })

  t.test('parallel child scopes do not see each other, in any order of ending', async (t) => {
    for (const order of [['a', 'b'], ['b', 'a']] as const) {
      const gates = { a: gate(), b: gate() }
      const seen: Record<string, unknown> = {}
      await ctx.run({ tenant: 'outer' }, async () => {
        const branch = (name: 'a' | 'b'): Promise<void> => ctx.run({}, async () => {
          ctx.set('tenant', name)
          await gates[name].promise
          seen[name] = ctx.get('tenant')
        })
        const branches = { a: branch('a'), b: branch('b') }
        for (const name of order) {
          gates[name].open()
          await branches[name]
        }
        t.same(seen, { a: 'a', b: 'b' })
        t.equal(ctx.get('tenant'), 'outer')
      })
    }
  })

  t.test('a root has its own request id, or the one that run() is given', async (t) => {
    const made = ctx.run({}, () => ctx.require('requestId'))
    t.match(made, /^[\da-f-]{36}$/)
    t.not(ctx.run({}, () => ctx.require('requestId')), made)
    t.equal(ctx.run({ requestId: 'job-7' }, () => ctx.get('requestId')), 'job-7')
    for (const requestId of ['', 'a b', 'x\ny', 'é', 'x'.repeat(129), 7]) {
      t.throws(() => ctx.run({ requestId: requestId as string }, () => {}), { code: 'FST_CTX_INVALID_ARGUMENT' }, JSON.stringify(requestId))
    }
  })

  t.test('a child has the request id of its root and refuses another one', async (t) => {
    ctx.run({ requestId: 'job-7' }, () => {
      ctx.run({}, () => { t.equal(ctx.get('requestId'), 'job-7') })
      t.throws(() => ctx.run({ requestId: 'other' }, () => {}), { code: 'FST_CTX_REQUEST_ID_FIXED' })
    })
  })

  t.test('inherit: false opens a root that sees nothing of the scope around it', async (t) => {
    ctx.run({ tenant: 'outer', requestId: 'outer' }, () => {
      ctx.run({ count: 1 }, () => {
        t.equal(ctx.get('tenant'), undefined)
        t.equal(ctx.get('count'), 1)
        t.not(ctx.get('requestId'), 'outer')
      }, { inherit: false })
      t.equal(ctx.run({ requestId: 'inner' }, () => ctx.get('requestId'), { inherit: false }), 'inner')
      t.equal(ctx.run({}, () => ctx.get('tenant'), { inherit: true }), 'outer')
    })
  })

  t.test('refuses invalid values, functions and options', async (t) => {
    for (const values of [undefined, null, 'acme', () => {}]) t.throws(() => ctx.run(values as never, () => {}), { code: 'FST_CTX_INVALID_ARGUMENT' })
    for (const fn of [undefined, null, 'fn', Promise.resolve()]) t.throws(() => ctx.run({}, fn as never), { code: 'FST_CTX_INVALID_ARGUMENT' })
    t.throws(() => ctx.run({ tenat: 'x' } as never, () => {}), { code: 'FST_CTX_UNKNOWN_KEY', message: /'tenat'/ })
    t.throws(() => ctx.run(JSON.parse('{"__proto__":{"tenant":"evil"}}') as never, () => {}), { code: 'FST_CTX_UNKNOWN_KEY' })
    t.throws(() => readyMade.run(JSON.parse('{"__proto__":{"tenant":"evil"}}') as never, () => {}), { code: 'FST_CTX_INVALID_KEY' })
    t.throws(() => readyMade.run({ run: 'x' } as never, () => {}), { code: 'FST_CTX_INVALID_KEY' })
  })

  t.test('two nested contexts, in either order, each see their own values', async (t) => {
    const other = createContext({ tenant: key<string>(), count: key<number>() })
    ctx.run({ tenant: 'ctx' }, () => {
      other.run({ tenant: 'other' }, () => {
        t.same([ctx.get('tenant'), other.get('tenant')], ['ctx', 'other'])
        ctx.run({ tenant: 'ctx inner' }, () => {
          t.same([ctx.get('tenant'), other.get('tenant')], ['ctx inner', 'other'])
          other.run({ count: 1 }, () => { t.same([ctx.get('tenant'), other.get('tenant'), ctx.get('count')], ['ctx inner', 'other', undefined]) })
          other.run({}, () => { t.same([ctx.get('tenant'), other.get('tenant')], ['ctx inner', undefined]) }, { inherit: false })
        })
        ctx.run({}, () => { t.same([ctx.get('tenant'), other.get('tenant')], [undefined, 'other']) }, { inherit: false })
        ctx.set('tenant', 'set')
        t.same([ctx.get('tenant'), other.get('tenant')], ['set', 'other'])
      })
      t.same([ctx.get('tenant'), other.get('tenant')], ['set', undefined])
    })
  })
})

const ada = { id: 'ada' }
const lin = { id: 'lin' }
const kim = { id: 'kim' }

const audited = createContext({
  tenant: key<string>({ log: true, locked: true }),
  user: key<User>({ log: ({ id }) => id }),
  token: key<string>()
})

/** The ids of the impersonated and of the real user. */
function who (): [string | undefined, string | undefined] {
  return [audited.get('user')?.id, audited.actor('user')?.id]
}

t.test('impersonate', async (t) => {
  t.test('shadows the given values and keeps the actor, also in nested impersonations and scopes', async (t) => {
    audited.run({ user: ada }, () => {
      t.same(who(), ['ada', 'ada'])
      const result = audited.impersonate({ user: lin }, { reason: 'ticket 1' }, () => {
        t.same(who(), ['lin', 'ada'])
        audited.impersonate({ user: kim, token: 'x' }, { reason: 'ticket 2' }, () => {
          t.same(who(), ['kim', 'ada'])
          t.same([audited.get('token'), audited.actor('token')], ['x', undefined])
          audited.run({ user: lin }, () => { t.same(who(), ['lin', 'ada']) })
          audited.run({ user: lin }, () => { t.same(who(), ['lin', 'lin']) }, { inherit: false })
        })
        t.same(who(), ['lin', 'ada'])
        return 'done'
      })
      t.equal(result, 'done')
      t.same(who(), ['ada', 'ada'])
    })
    t.equal(audited.actor('user'), undefined)
  })

  t.test('the actor of a key is the value that a nested run() set; other keys keep theirs', async (t) => {
    audited.run({ user: ada, token: 'of ada' }, () => {
      audited.run({ user: lin }, () => {
        audited.impersonate({ user: kim }, { reason: 'ticket' }, () => {
          t.same(who(), ['kim', 'lin'])
          t.equal(audited.actor('token'), 'of ada')
        })
      })
    })
  })

  t.test('restores everything afterwards, regardless of how the function ends', async (t) => {
    await audited.run({ user: ada }, async () => {
      const isRestored = (): void => { t.same(who(), ['ada', 'ada']) }
      t.throws(() => audited.impersonate({ user: lin }, { reason: 'r' }, () => { throw new Error('within') }), { message: 'within' })
      isRestored()
      await t.rejects(audited.impersonate({ user: lin }, { reason: 'r' }, async () => { await turns(1); throw new Error('later') }), { message: 'later' })
      isRestored()
      audited.impersonate({ user: lin }, { reason: 'r' }, () => { audited.set('user', kim); audited.set('token', 'x') })
      isRestored()
      t.equal(audited.get('token'), undefined)
      const pending = audited.impersonate({ user: lin }, { reason: 'r' }, async () => { await turns(1); return who() })
      isRestored()
      t.same(await pending, ['lin', 'ada'])
      isRestored()
    })
  })

  for (const order of [[0, 1], [1, 0]] as const) {
    t.test(`two concurrent impersonations, ended in the order ${order.join(', ')}, do not see each other`, async (t) => {
      const gates = [gate(), gate()]
      await audited.run({ user: ada }, async () => {
        const branches = [lin, kim].map((user, i) => audited.impersonate({ user }, { reason: 'r' }, async () => {
          await gates[i]!.promise
          return who()
        }))
        for (const i of order) {
          gates[i]!.open()
          t.same(await branches[i], [[lin, kim][i]!.id, 'ada'])
          t.same(who(), ['ada', 'ada'])
        }
      })
    })
  }

  t.test('is the only way to shadow a locked key, which stays locked inside', async (t) => {
    audited.run({ tenant: 'acme' }, () => {
      audited.impersonate({ tenant: 'globex' }, { reason: 'support' }, () => {
        t.same([audited.get('tenant'), audited.actor('tenant')], ['globex', 'acme'])
        t.throws(() => { audited.set('tenant', 'third') }, { code: 'FST_CTX_LOCKED' })
        t.throws(() => audited.run({ tenant: 'third' }, () => {}), { code: 'FST_CTX_LOCKED' })
        t.throws(() => { requestContext.set('tenant' as never, 'third' as never) }, TypeError)
        audited.impersonate({ tenant: 'third' }, { reason: 'again' }, () => { t.same([audited.get('tenant'), audited.actor('tenant')], ['third', 'acme']) })
        t.equal(audited.get('tenant'), 'globex')
      })
      t.equal(audited.get('tenant'), 'acme')
    })
  })

  t.test('log lines inside have the impersonated user, the actor and the reason; those before and after do not', async (t) => {
    const lines = new Lines(t)
    const app = Fastify({ logger: { stream: lines } })
    await app.register(audited.plugin)
    app.get('/', async (request) => {
      request.ctx.user = ada
      audited.set('tenant', 'acme')
      request.log.info('before')
      await audited.impersonate({ user: lin, token: 'secret' }, { reason: 'ticket 1' }, async () => {
        audited.log.info('outer')
        audited.impersonate({ tenant: 'globex' }, { reason: 'ticket 2' }, () => { app.log.info('inner') })
        await audited.run({ token: 'x' }, async () => { await turns(1); request.log.info('run within') })
      })
      audited.impersonate({ token: 'secret' }, { reason: 'ticket 3' }, () => { audited.log.info('not logged') })
      audited.log.info('after')
      return 'ok'
    })
    const { url } = await listen(t, app)
    await (await fetch(url, { headers: { 'x-request-id': 'id-1' } })).text()
    await lines.until('request completed')
    const fields = (message: string): unknown[] => {
      const { reqId, tenant, user, actor, reason } = lines.one(message)
      return [reqId, tenant, user, actor, reason]
    }
    t.same(fields('before'), ['id-1', 'acme', 'ada', undefined, undefined])
    t.same(fields('outer'), ['id-1', 'acme', 'lin', { user: 'ada' }, 'ticket 1'])
    t.same(fields('inner'), ['id-1', 'globex', 'lin', { tenant: 'acme', user: 'ada' }, 'ticket 2'])
    t.same(fields('run within'), ['id-1', 'acme', 'lin', { user: 'ada' }, 'ticket 1'])
    t.same(fields('not logged'), ['id-1', 'acme', 'ada', undefined, 'ticket 3'])
    t.same(fields('after'), ['id-1', 'acme', 'ada', undefined, undefined])
    t.same(fields('request completed'), ['id-1', 'acme', 'ada', undefined, undefined])
    t.notMatch(lines.raw.join(''), 'secret')
  })

  t.test('invalid calls throw and do not call the function', async (t) => {
    const fn = (): void => { t.fail('called') }
    t.throws(() => audited.impersonate({ user: lin }, { reason: 'r' }, fn), { code: 'FST_CTX_NO_SCOPE' })
    audited.run({}, () => {
      for (const options of [undefined, null, {}, { reason: '' }, { reason: 7 }]) t.throws(() => audited.impersonate({ user: lin }, options as never, fn), { code: 'FST_CTX_INVALID_ARGUMENT', message: /reason/ })
      t.throws(() => audited.impersonate(undefined as never, { reason: 'r' }, fn), { code: 'FST_CTX_INVALID_ARGUMENT', message: /ctx\.impersonate/ })
      t.throws(() => audited.impersonate({}, { reason: 'r' }, undefined as never), { code: 'FST_CTX_INVALID_ARGUMENT', message: 'ctx.impersonate takes a function to call third, after the reason' })
      t.throws(() => audited.impersonate({ usr: lin } as never, { reason: 'r' }, fn), { code: 'FST_CTX_UNKNOWN_KEY' })
      t.throws(() => audited.impersonate({ requestId: 'other' } as never, { reason: 'r' }, fn), { code: 'FST_CTX_REQUEST_ID_FIXED' })
    })
  })
})

t.test('messageId', async (t) => {
  const UUID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/

  t.test('is on the lines of its scope and of those below, beside the request id, and nowhere else', async (t) => {
    const lines = new Lines(t)
    const app = Fastify({ logger: { stream: lines } })
    await app.register(ctx.plugin)
    const done = gate()
    app.get('/', async (request) => {
      await ctx.run({ count: 1 }, async () => {
        request.log.info('in the message')
        await turns()
        ctx.run({ tenant: 'below' }, () => { ctx.log.info({ more: 1 }, 'below') })
        ctx.detach(() => { ctx.log.info('detached'); done.open() })
        t.same([ctx.messageId, (request.ctx as unknown as typeof ctx).messageId, ctx.fields().messageId, ctx.get('requestId')], ['m-1', 'm-1', 'm-1', 'r-1'])
      }, { messageId: 'm-1' })
      ctx.log.info('after it')
      return ctx.messageId === undefined
    })
    const { url } = await listen(t, app)
    t.equal(await (await fetch(url, { headers: { 'x-request-id': 'r-1' } })).text(), 'true')
    await done.promise
    for (const message of ['in the message', 'below', 'detached']) t.match(lines.one(message), { reqId: 'r-1', messageId: 'm-1' }, message)
    t.match(lines.one('below'), { tenant: 'below', more: 1 })
    for (const message of ['incoming request', 'after it', 'request completed']) t.match(lines.one(message), { reqId: 'r-1', messageId: undefined }, message)
    t.equal(ctx.messageId, undefined)
  })

  t.test('comes from a client: what is not safe is replaced by a UUID', async (t) => {
    const idOf = (messageId: unknown): string | undefined => ctx.run({}, () => ctx.messageId, { messageId })
    for (const safe of ['m-1', 'a'.repeat(128), '01ARZ3NDEKTSV4RRFFQ69G5FAV']) t.equal(idOf(safe), safe)
    t.same([idOf(7), idOf(0)], ['7', '0'])
    for (const hostile of [undefined, null, '', 'a'.repeat(129), 'a b', 'a\nb', '"x"', 'ü', '<script>', {}, [], { toString: () => 'm-1' }, -0.5e-7, NaN, Infinity, true, Symbol('m')]) {
      const id = idOf(hostile)
      if (typeof hostile !== 'number') t.match(id, UUID, typeof hostile)
      t.match(id, /^[\w.:-]{1,128}$/)
    }
    t.equal(ctx.run({}, () => ctx.messageId, { timeout: 1000 }), undefined, 'without the option there is none')
    const app = Fastify()
    const strict = createContext({})
    await app.register(strict.plugin, { requestId: { pattern: /^m-\d+$/ } })
    t.equal(strict.run({}, () => strict.messageId, { messageId: 'm-7' }), 'm-7')
    t.match(strict.run({}, () => strict.messageId, { messageId: 'other' }), UUID)
    await app.close()
  })

  t.test('the innermost one counts; a root of its own may have one', async (t) => {
    ctx.run({}, () => {
      t.equal(ctx.run({}, () => ctx.messageId, { messageId: 'inner' }), 'inner')
      t.equal(ctx.run({}, () => ctx.messageId, { messageId: 'own', inherit: false }), 'own')
      t.equal(ctx.run({}, () => ctx.messageId, { inherit: false }), undefined)
    }, { messageId: 'outer' })
  })

  t.test('a message is a unit of work: what it keeps, and its onEnd, are not those of the connection', async (t) => {
    const ends: unknown[] = []
    await ctx.run({ tenant: 'acme' }, async () => {
      const handle = async (messageId: string): Promise<unknown> => await ctx.run({}, async () => await ctx.run({ count: 1 }, async () => {
        ctx.root.set('user', { id: messageId })
        ctx.root.onEnd(() => { ends.push(ctx.messageId) })
        await turns()
        return [ctx.root.cache.getOrSet('x', () => ctx.messageId), ctx.require('user').id, ctx.get('tenant')]
      }), { messageId })
      t.same(await Promise.all([handle('m-1'), handle('m-2')]), [['m-1', 'm-1', 'acme'], ['m-2', 'm-2', 'acme']])
      await turns()
      t.same([ends.sort(), ctx.get('user'), ctx.root.cache.has('x')], [['m-1', 'm-2'], undefined, false])
    })
  })

  t.test('where the request id is logged under that name, the line has the request id', async (t) => {
    const lines = new Lines(t)
    const app = Fastify({ requestIdLogLabel: 'messageId', logger: { stream: lines } })
    const own = createContext({})
    await app.register(own.plugin)
    app.get('/', async () => { own.run({}, () => { own.log.info('here') }, { messageId: 'm-1' }); return 'ok' })
    const { url } = await listen(t, app)
    await (await fetch(url, { headers: { 'x-request-id': 'r-1' } })).text()
    t.equal(lines.one('here').messageId, 'r-1')
  })
})
