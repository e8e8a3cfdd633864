import { requestContext } from '@fastify/request-context'
import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import context, { createContext, ctx as readyMade, key, type Explanation, type Tracing } from '../../../lib/index.ts'
import { gate, listen, turns, type Tap } from '../../support/support.ts'

/** The value that no explanation and no policy may contain. */
const SECRET = 's3cret'

const ctx = createContext({
  tenant: key<string>({ seed: () => SECRET, log: true, locked: true }),
  region: key<string>({ seed: () => undefined }),
  user: key<string>({ log: (user) => user.length, missing: 401, carry: { pack: (user) => user, unpack: (user: string) => user } }),
  token: key<string>(),
  plan: key<string>({ carry: true, header: 'X-Plan' })
}, { propagate: { 'https://*.internal.example': ['requestId', 'plan'], 'https://api.example': ['plan'], 'http://localhost': ['requestId'] } })

type Name = Parameters<typeof ctx.explain>[0]

/** What an explanation says, checked for the secret. */
function said (t: Tap, explanation: Explanation): [Explanation['state'], Explanation['by'], Explanation['phase'], Explanation['depth']] {
  t.notMatch(JSON.stringify(explanation), SECRET)
  t.match(explanation.text, `'${explanation.key}'`)
  return [explanation.state, explanation.by, explanation.phase, explanation.depth]
}

t.test('explain outside a scope', async (t) => {
  const explanation = ctx.explain('user')
  t.same(said(t, explanation), ['no scope', undefined, undefined, undefined])
  t.equal(explanation.text, "'user' has no value: no scope of this context is open here")
})

t.test('explain in a request', async (t) => {
  /** What an application explains at the end of its handler. */
  async function explained (t: Tap, routes: (app: FastifyInstance, explain: (...names: Name[]) => void) => void): Promise<Explanation[]> {
    const found: Explanation[] = []
    const app: FastifyInstance = Fastify()
    await app.register(ctx.plugin)
    routes(app, (...names) => { found.push(...names.map((name) => ctx.explain(name))) })
    const { url } = await listen(t, app)
    t.equal((await fetch(`${url}/notes/1`)).status, 200)
    return found
  }

  t.test('a seeded value, the request id, a seed that returned undefined, and a key that nothing set', async (t) => {
    const [tenant, id, region, user] = await explained(t, (app, explain) => {
      app.get('/notes/:id', async () => { explain('tenant', 'requestId', 'region', 'user'); return 'ok' })
    })
    t.same(said(t, tenant!), ['set', 'seed', undefined, 0])
    t.equal(tenant!.text, "'tenant' was given in this scope of /notes/:id by its seed")
    t.same(said(t, id!), ['set', 'request', undefined, 0])
    t.same(said(t, region!), ['unset', undefined, undefined, undefined])
    t.equal(region!.text, "'region' has no value in this scope of /notes/:id: its seed returned none, and nothing has set it since")
    t.same(said(t, user!), ['unset', undefined, undefined, undefined])
    t.equal(user!.text, "'user' has no value in this scope of /notes/:id: it has no seed, and nothing set it")
  })

  t.test('a value that was set: the hook or handler that set it last', async (t) => {
    const [inHook, inHandler, again, none, byOthers] = await explained(t, (app, explain) => {
      app.addHook('preValidation', async () => { ctx.set('region', SECRET) })
      app.addHook('preHandler', async (request) => { ctx.set('user', SECRET); ctx.set('token', SECRET) })
      app.get('/notes/:id', async () => {
        explain('user')
        await turns(1)
        ctx.set('region', 'eu')
        explain('region')
        ctx.set('user', 'lin')
        explain('user')
        ctx.set('user', undefined)
        explain('user')
        requestContext.set('missing' as never, SECRET as never)
        explain('missing' as Name)
        return 'ok'
      })
    })
    t.same(said(t, inHook!), ['set', 'set', 'preHandler', 0])
    t.equal(inHook!.text, "'user' was given in this scope of /notes/:id by ctx.set in preHandler")
    t.same(said(t, inHandler!), ['set', 'set', 'handler', 0])
    t.same(said(t, again!), ['set', 'set', 'handler', 0])
    t.same(said(t, none!), ['unset', 'set', 'handler', 0])
    t.equal(none!.text, "'user' was set to undefined in this scope of /notes/:id by ctx.set in handler")
    t.same(said(t, byOthers!), ['set', 'set', undefined, 0])
    t.match(byOthers!.text, /by requestContext\.set$/)
  })

  t.test('a value that an inner scope has, hides, or reads from an outer one', async (t) => {
    const [run, shadow, outer, hidden, impersonated, within] = await explained(t, (app, explain) => {
      app.get('/notes/:id', async () => {
        ctx.set('user', SECRET)
        ctx.run({ token: SECRET }, () => {
          explain('token')
          ctx.run({ user: 'lin' }, () => { explain('user') })
          ctx.run({}, () => { explain('user') })
        })
        ctx.run({ user: undefined }, () => { explain('user') })
        ctx.impersonate({ tenant: 'globex' }, { reason: SECRET }, () => { explain('tenant', 'user') })
        return 'ok'
      })
    })
    t.same(said(t, run!), ['set', 'run', undefined, 0])
    t.same(said(t, shadow!), ['set', 'run', undefined, 0])
    t.equal(shadow!.text, "'user' was given in this scope of /notes/:id by ctx.run, and hides the value around it")
    t.same(said(t, outer!), ['set', 'set', 'handler', 2])
    t.equal(outer!.text, "'user' was given 2 scopes outwards of /notes/:id by ctx.set in handler")
    t.same(said(t, hidden!), ['unset', 'run', undefined, 0])
    t.equal(hidden!.text, "'user' was set to undefined in this scope of /notes/:id by ctx.run, and hides the value around it")
    t.same(said(t, impersonated!), ['set', 'impersonate', undefined, 0])
    t.same(said(t, within!), ['set', 'set', 'handler', 1])
    t.match(within!.text, '1 scope outwards')
  })

  t.test('a value of detached work', async (t) => {
    const [tenant, user, token] = await explained(t, (app, explain) => {
      app.get('/notes/:id', async () => {
        ctx.impersonate({ user: 'lin' }, { reason: 'r' }, () => {
          ctx.detach(() => { ctx.set('token', SECRET); explain('tenant', 'user', 'token') })
        })
        return 'ok'
      })
    })
    t.same(said(t, tenant!), ['set', 'detach', undefined, 0])
    t.match(tenant!.text, /by the copy that detached work has$/)
    t.same(said(t, user!), ['set', 'detach', undefined, 0])
    t.same(said(t, token!), ['set', 'set', 'detached work', 0])
  })

  t.test('a value after the request has ended', async (t) => {
    const [late, ended] = [gate<() => Explanation>(), gate()]
    await explained(t, (app) => {
      app.get('/notes/:id', async () => {
        ctx.onEnd(() => { ended.open() })
        late.open(ctx.bind(() => ctx.explain('tenant')))
        return 'ok'
      })
    })
    await ended.promise
    await turns()
    const explanation = (await late.promise)()
    t.same(said(t, explanation), ['ended', undefined, undefined, undefined])
    t.equal(explanation.text, "'tenant' has no value any more, because the request of /notes/:id has ended")
  })
})

t.test('explain in a job', async (t) => {
  ctx.run({ user: SECRET }, () => {
    t.same(said(t, ctx.explain('user')), ['set', 'run', undefined, 0])
    t.equal(ctx.explain('user').text, "'user' was given in this scope by ctx.run")
    t.same(said(t, ctx.explain('requestId')), ['set', 'run', undefined, 0])
    ctx.set('token', SECRET)
    t.same(said(t, ctx.explain('token')), ['set', 'set', 'a job', 0])
    t.same(said(t, ctx.explain('tenant')), ['unset', undefined, undefined, undefined])
  })
})

/** A key without a policy: everything is closed. */
const CLOSED = { seeded: false, logged: 'no', locked: false, detached: true, carried: 'no', header: undefined, origins: [], attribute: undefined, missing: 400 }

t.test('explain in a hydrated scope', async (t) => {
  const envelope = ctx.run({ user: SECRET, plan: SECRET }, () => ctx.impersonate({ plan: 'free' }, { reason: SECRET }, () => ctx.dehydrate()))
  await ctx.hydrate(envelope, () => {
    for (const name of ['user', 'plan', 'requestId'] as const) {
      t.same(said(t, ctx.explain(name)), ['set', 'hydrate', undefined, 0])
      t.equal(ctx.explain(name).text, `'${name}' was given in this scope by the envelope given to ctx.hydrate`)
    }
    t.same(said(t, ctx.explain('token')), ['unset', undefined, undefined, undefined])
    ctx.set('token', SECRET)
    t.same(said(t, ctx.explain('token')), ['set', 'set', 'a job', 0])
    ctx.run({ user: 'lin' }, () => {
      t.same(said(t, ctx.explain('user')), ['set', 'run', undefined, 0])
      t.same(said(t, ctx.explain('plan')), ['set', 'hydrate', undefined, 1])
    })
    ctx.impersonate({ user: 'lin' }, { reason: 'r' }, () => { t.same(said(t, ctx.explain('user')), ['set', 'impersonate', undefined, 0]) })
    ctx.detach(() => { t.same(said(t, ctx.explain('user')), ['set', 'detach', undefined, 0]) })
  })
  await ctx.hydrate('no envelope', () => {
    t.same(said(t, ctx.explain('user')), ['unset', undefined, undefined, undefined])
    t.same(said(t, ctx.explain('requestId')), ['set', 'hydrate', undefined, 0])
  })
})

t.test('policy() lists the keys and their policies without any value', async (t) => {
  t.same(ctx.policy(), [
    { ...CLOSED, key: 'tenant', seeded: true, logged: 'value', locked: true },
    { ...CLOSED, key: 'region', seeded: true },
    { ...CLOSED, key: 'user', logged: 'mapped', carried: 'packed', missing: 401 },
    { ...CLOSED, key: 'token' },
    { ...CLOSED, key: 'plan', carried: 'value', header: 'x-plan', origins: ['https://*.internal.example', 'https://api.example'] }
  ])
})

t.test('explain and policy of a key that copies for detached work leave out', async (t) => {
  const own = createContext({ connection: key<string>({ detach: false }), user: key<string>() })
  t.same(own.policy(), [{ ...CLOSED, key: 'connection', detached: false }, { ...CLOSED, key: 'user' }])
  own.run({ connection: SECRET, user: SECRET }, () => {
    t.equal(own.explain('connection').state, 'set')
    own.detach(() => {
      t.same(said(t, own.explain('connection')), ['unset', undefined, undefined, undefined])
      t.equal(own.explain('connection').text, "'connection' has no value in this scope: it has detach: false, so the copies for detached work leave it out")
      t.same(said(t, own.explain('user')), ['set', 'detach', undefined, 0])
      own.run({}, () => { t.match(own.explain('connection').text, /detach: false/) })
      own.set('connection', SECRET)
      t.equal(own.explain('connection').state, 'set')
    })
  })
})

t.test('policy() includes span attributes', async (t) => {
  const trace: Tracing = {
    current: () => undefined, requestSpan: () => undefined, withParent: (_trace, fn) => fn(), attributes: new Map([['tenant', 'app.tenant']]), setAttribute: () => {}
  }
  t.same(createContext({ tenant: key<string>({ log: true }), user: key<string>({ log: true }) }, { trace }).policy(), [
    { ...CLOSED, key: 'tenant', logged: 'value', attribute: 'app.tenant' },
    { ...CLOSED, key: 'user', logged: 'value' }
  ])
})

t.test('policy() of the ready-made context comes from its registration, also after the application has closed', async (t) => {
  t.same(readyMade.policy(), [])
  const app = Fastify()
  await app.register(context, { keys: { tenant: { seed: () => 'acme', carry: true, header: 'x-tenant' } }, propagate: { 'https://api.example': ['tenant'] } })
  t.same(readyMade.policy(), [{ ...CLOSED, key: 'tenant', seeded: true, carried: 'value', header: 'x-tenant', origins: ['https://api.example'] }])
  const last = readyMade.policy()
  await app.close()
  t.same(readyMade.policy(), last, 'the last policy stays: work that continues is logged and carried as before')
})
