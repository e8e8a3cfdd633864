// Middleware and sessions: what runs in the scope, and where another request's code calls a callback.
import cookie from '@fastify/cookie'
import express from '@fastify/express'
import middie from '@fastify/middie'
import passport from '@fastify/passport'
import session from '@fastify/session'
import expressSession from 'express-session'
import { Strategy as LocalStrategy } from 'passport-local'
import t from 'tap'
import { ctx } from './recipes/context.ts'
import { headersOf, TENANTS, Watch, OWN } from './recipes/watch.ts'

type Callback = (error: unknown, session?: any) => void

const secret = 'a secret of more than thirty-two characters'

/** A store whose pending lookups are all answered by the code of the last one, like a pool that batches. */
class BatchingStore extends expressSession.Store {
  readonly #kept = new Map<string, unknown>()
  #waiting: Array<() => void> = []

  override get (id: string, callback: Callback): void { this.#later(() => { callback(null, this.#kept.get(id) ?? null) }) }

  override set (id: string, value: unknown, callback?: Callback): void { this.#kept.set(id, value); this.#later(() => callback?.(null)) }

  override touch (_id: string, _value: unknown, callback?: () => void): void { callback?.() }

  override destroy (id: string, callback?: Callback): void { this.#kept.delete(id); callback?.(null) }

  #later (answer: () => void): void {
    this.#waiting.push(answer)
    if (this.#waiting.length === 1) return setTimeout(() => { for (const waiting of this.#waiting.splice(0)) waiting() }, 10) as never
  }
}

/** A session cookie per tenant, from a first request. */
async function signIn (watch: Watch, path: string): Promise<Record<string, string>> {
  const cookies: Record<string, string> = {}
  for (const tenant of TENANTS) {
    const answer = await fetch(`${watch.url}${path}`, { headers: headersOf(tenant) })
    cookies[tenant] = (answer.headers.get('set-cookie') ?? '').split(';')[0]!
    await answer.text()
  }
  return cookies
}

t.test('@fastify/middie and @fastify/express: middleware runs in the scope; after one that another request resumes, use bind(next)', async (t) => {
  for (const [name, host] of [['middie', middie], ['express', express]] as const) {
    const watch = new Watch(t)
    const { app } = watch
    const waiting: Array<() => void> = []
    const pool = { take (fn: () => void) { waiting.push(fn); if (waiting.length === TENANTS.length) for (const next of waiting.splice(0)) next() } }
    await app.register(ctx.plugin)

    await app.register(host as typeof middie)
    app.use((request, _response, next) => {
      ctx.log.info('in middleware')
      pool.take(ctx.bind(next)) // a pool that requests share calls next: the next middleware stays in this scope
    })

    app.use((request: { headers: Record<string, unknown> }, _response: unknown, next: () => void) => { watch.see('next middleware', request.headers['x-tenant']); next() })
    app.get('/', async (request) => { watch.see('handler', request.headers['x-tenant']); return ctx.get('tenant') })
    await watch.listen()
    t.same(await watch.askBoth('/'), TENANTS, name)
    t.same(watch.told(), { 'next middleware': 'held', handler: 'held' }, name)
    t.same(watch.lines.all('in middleware').map(({ tenant }) => tenant).sort(), TENANTS, name)
    t.same(await watch.completed(), OWN, name)
  }
})

t.test('without bind(next) the next middleware sees the tenant of the code that called it, and the handler sees its own', async (t) => {
  const watch = new Watch(t)
  const { app } = watch
  const waiting: Array<() => void> = []
  await app.register(ctx.plugin)
  await app.register(middie)
  app.use((_request, _response, next) => { waiting.push(next); if (waiting.length === TENANTS.length) for (const each of waiting.splice(0)) each() })
  app.use((request, _response, next) => { watch.see('next middleware', request.headers['x-tenant']); next() })
  app.get('/', async (request) => { watch.see('handler', request.headers['x-tenant']); return ctx.get('tenant') })
  await watch.listen()
  t.same(await watch.askBoth('/'), TENANTS)
  t.same(watch.told(), { 'next middleware': 'swapped', handler: 'held' })
})

t.test('@fastify/session: a store that answers from another request\'s code leaves hooks and handler in their scope', async (t) => {
  const watch = new Watch(t)
  const { app } = watch
  const store = new BatchingStore()
  await app.register(ctx.plugin)

  await app.register(cookie)
  await app.register(session, { secret, store, cookie: { secure: false } })
  app.addHook('preHandler', async (request) => { if (request.session.get('user') !== undefined) ctx.set('user', { id: request.session.get('user')! }) })

  app.addHook('preHandler', async (request) => { watch.see('hook', request.headers['x-tenant']) })
  app.get('/in', async (request) => { request.session.set('user', `ada of ${ctx.require('tenant')}`); return 'in' })
  app.get('/me', async (request) => { await watch.meet('me'); watch.see('handler', request.headers['x-tenant']); return ctx.get('user')?.id })
  await watch.listen()
  const cookies = await signIn(watch, '/in')
  t.same(await watch.askBoth('/me', (tenant) => ({ headers: { cookie: cookies[tenant]! } })), TENANTS.map((tenant) => `ada of ${tenant}`))
  t.same(watch.told(), { hook: 'held', handler: 'held' })
})

t.test('express-session in @fastify/express: the store calls next, and Fastify\'s later steps run in their own scope', async (t) => {
  const watch = new Watch(t)
  const { app } = watch
  const store = new BatchingStore()
  await app.register(ctx.plugin)

  await app.register(express)
  const sessions = expressSession({ secret, store, resave: false, saveUninitialized: true })
  app.use((request, response, next) => { sessions(request, response, ctx.bind(next)) })

  app.use((request: { headers: Record<string, unknown> }, _response: unknown, next: () => void) => { watch.see('next middleware', request.headers['x-tenant']); next() })
  app.get('/', async (request) => { await watch.meet('/'); watch.see('handler', request.headers['x-tenant']); return ctx.get('tenant') })
  app.get('/in', async () => 'in')
  await watch.listen()
  const cookies = await signIn(watch, '/in')
  t.same(await watch.askBoth('/', (tenant) => ({ headers: { cookie: cookies[tenant]! } })), TENANTS)
  t.same(watch.told(), { 'next middleware': 'held', handler: 'held' })
})

t.test('@fastify/passport: strategy, serializer and handler run in the scope; a later hook sets the user', async (t) => {
  const watch = new Watch(t)
  const { app } = watch
  const users = { find: (name: string, callback: (error: unknown, user?: { id: string }) => void) => { setTimeout(() => { callback(null, { id: `${name} of ${ctx.get('tenant')}` }) }, 5) } }
  await app.register(ctx.plugin)
  await app.register(cookie)
  await app.register(session, { secret, cookie: { secure: false } })

  await app.register(passport.initialize())
  await app.register(passport.secureSession())
  passport.use(new LocalStrategy((name, _password, done) => {
    ctx.log.info('in the strategy')
    users.find(name, ctx.bind(done)) // a callback of a shared client: bound
  }))
  passport.registerUserSerializer(async (user: { id: string }) => user.id)
  passport.registerUserDeserializer(async (id: string) => ({ id }))
  app.post('/in', {
    preValidation: passport.authenticate('local', { authInfo: false }),
    preHandler: async (request) => { ctx.set('user', request.user as { id: string }) }
  }, async () => `${ctx.require('user').id}, ${ctx.require('tenant')}`)

  await watch.listen()
  const answers = await watch.askBoth('/in', () => ({ method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ username: 'ada', password: 'secret' }) }))
  t.same(answers, TENANTS.map((tenant) => `ada of ${tenant}, ${tenant}`))
  t.same(watch.lines.all('in the strategy').map(({ tenant }) => tenant).sort(), TENANTS)
})
