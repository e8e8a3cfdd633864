// @fastify/jwt and @fastify/auth: the user is known only after the seeds, and is set by the code that verified it.
import auth from '@fastify/auth'
import jwt from '@fastify/jwt'
import type { FastifyReply, FastifyRequest } from 'fastify'
import t from 'tap'
import { createContext, key } from '../../lib/index.ts'
import type { Tap } from '../support/support.ts'
import { ctx } from './recipes/context.ts'
import { OWN, TENANTS, Watch } from './recipes/watch.ts'

const secret = 'a secret of the tests'

t.test('@fastify/jwt', async (t) => {
  const ctx = createContext({
    tenant: key<string>({ log: true, locked: true }), // no seed: trust nothing before the token is verified
    user: key<{ readonly id: string }>({ log: (user) => user.id })
  })

  async function serve (t: Tap) {
    const watch = new Watch(t, ctx)
    const { app } = watch
    await app.register(ctx.plugin)

    await app.register(jwt, { secret })
    app.addHook('onRequest', async (request) => {
      const { sub, tenant } = await request.jwtVerify<{ sub: string, tenant: string }>()
      ctx.set('tenant', tenant)
      ctx.set('user', { id: sub })
    })

    app.get('/', async ({ headers }) => {
      await watch.meet('handler')
      watch.see('handler', headers['x-tenant'])
      return ctx.get('user')?.id
    })
    await watch.listen()
    return watch
  }

  const bearer = ({ app }: Watch) => (tenant: string) => ({ headers: { authorization: `Bearer ${app.jwt.sign({ sub: `user of ${tenant}`, tenant })}` } })

  t.test('the claims of the token are set in the hook that verifies it, and visible from then on', async (t) => {
    const watch = await serve(t)
    t.same(await watch.askBoth('/', bearer(watch)), TENANTS.map((tenant) => `user of ${tenant}`))
    t.same(watch.told(), { handler: 'held' })
    t.same(await watch.completed(), OWN)
    t.same(watch.lines.all('request completed').map(({ tenant, user }) => user === `user of ${tenant}`), [true, true])
  })

  t.test('without a token: 401, and no tenant, even if the client sends one in a header', async (t) => {
    const watch = await serve(t)
    t.match(JSON.parse(await watch.ask('acme', '/')), { statusCode: 401 })
    t.same(await watch.completed(1), { 'id-acme': undefined })
  })

  t.test('a seed runs too early for request.user, and may verify the token itself', async (t) => {
    const early = createContext({
      tenant: key<string>({ seed: (request) => (request.user as { tenant?: string } | undefined)?.tenant, log: true }),
      verified: key<string>({ seed: async (request) => (await request.jwtVerify<{ tenant: string }>()).tenant })
    })
    const watch = new Watch(t, early)
    const { app } = watch
    await app.register(early.plugin)
    await app.register(jwt, { secret })
    app.get('/', async () => {
      await watch.meet('handler')
      return `${early.get('tenant')}, ${early.get('verified')}`
    })
    await watch.listen()
    t.same(await watch.askBoth('/', bearer(watch)), TENANTS.map((tenant) => `undefined, ${tenant}`))
    t.match(JSON.parse(await watch.ask('acme', '/')), { statusCode: 401 })
  })
})

t.test('@fastify/auth', async (t) => {
  const keys = new Map(TENANTS.map((tenant) => [`key of ${tenant}`, { id: `user of ${tenant}` }]))
  const withKey = (tenant: string) => ({ headers: { 'x-api-key': `key of ${tenant}` } })
  const handled = async () => ctx.get('user')?.id ?? 'nobody'
  const users = TENANTS.map((tenant) => `user of ${tenant}`)

  t.test('with several strategies, the one that succeeds sets the user', async (t) => {
    const watch = new Watch(t)
    const { app } = watch
    const findOwner = async (apiKey: unknown) => {
      await watch.meet('look-up')
      return keys.get(String(apiKey))
    }
    await app.register(ctx.plugin)
    await app.register(jwt, { secret })

    await app.register(auth)
    const byToken = async (request: FastifyRequest) => {
      const { sub } = await request.jwtVerify<{ sub: string }>()
      request.ctx.user = { id: sub }
    }
    const byKey = async (request: FastifyRequest) => {
      const owner = await findOwner(request.headers['x-api-key'])
      if (owner === undefined) throw new Error('unknown key')
      request.ctx.user = owner // last: a strategy that sets a value and then fails leaves it set
    }
    app.addHook('onRequest', app.auth([byToken, byKey]))

    app.get('/', handled)
    await watch.listen()
    t.same(await watch.askBoth('/', withKey), users)
    t.equal(await watch.ask('acme', '/', { headers: { authorization: `Bearer ${app.jwt.sign({ sub: 'ada' })}` } }), 'ada')
    t.same((await watch.askBoth('/', () => ({ headers: { 'x-api-key': 'none' } }))).map((text) => JSON.parse(text).statusCode), [401, 401])
  })

  t.test('a value that a strategy sets before it fails stays set after another one has succeeded', async (t) => {
    const watch = new Watch(t)
    const { app } = watch
    await app.register(ctx.plugin)
    await app.register(auth)
    const hasty = async (request: FastifyRequest) => {
      request.ctx.user = { id: 'root' }
      throw new Error('not root')
    }
    app.addHook('onRequest', app.auth([hasty, async () => {}]))
    app.get('/', handled)
    await watch.listen()
    t.equal(await watch.ask('acme', '/'), 'root')
  })

  t.test('strategies with callbacks that a shared pool calls: the next one runs in the scope of another request; ctx.bind fixes it, request.ctx needs no fix', async (t) => {
    type Callback = (error?: Error) => void

    async function serve (t: Tap, bound: (done: Callback) => Callback, set: (request: FastifyRequest, id: string) => void) {
      const watch = new Watch(t, ctx)
      const { app } = watch
      const waiting: Callback[] = []
      const byPool = (_request: FastifyRequest, _reply: FastifyReply, done: Callback): void => {
        waiting.push(bound(done))
        if (waiting.length === 2) for (const callback of waiting) callback(new Error('none'))
      }
      await app.register(ctx.plugin)
      await app.register(auth)
      const next = async (request: FastifyRequest) => {
        watch.see('the next way', request.headers['x-tenant'])
        set(request, `user of ${request.headers['x-tenant'] as string}`)
      }
      app.addHook('onRequest', app.auth([byPool, next]))
      app.get('/', handled)
      await watch.listen()
      return { answers: await watch.askBoth('/'), told: watch.told() }
    }

    const byCtx = (_request: FastifyRequest, id: string): void => { ctx.set('user', { id }) }
    const byRequest = (request: FastifyRequest, id: string): void => { request.ctx.set('user', { id }) }
    const asItIs = (done: Callback): Callback => done
    const { answers, told } = await serve(t, asItIs, byCtx)
    t.same(told, { 'the next way': 'swapped' })
    t.ok(answers.includes('nobody'), 'one request has the user of the other, which has none or its own')
    t.same(await serve(t, (done) => ctx.bind(done), byCtx), { answers: users, told: { 'the next way': 'held' } })
    t.same((await serve(t, asItIs, byRequest)).answers, users)
  })
})
