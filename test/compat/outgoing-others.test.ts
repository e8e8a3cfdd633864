// Clients other than undici: http.request with ctx.headersFor, and proxies with either.
import { once } from 'node:events'
import http, { type IncomingMessage } from 'node:http'
import replyFrom, { type FastifyReplyFromOptions } from '@fastify/reply-from'
import Fastify from 'fastify'
import t from 'tap'
import { Agent, getGlobalDispatcher, setGlobalDispatcher } from 'undici'
import { createContext, key, type Propagate } from '../../lib/index.ts'
import { listen, type Tap } from '../support/support.ts'
import { upstream } from '../integration/upstream.ts'

const TENANTS = ['a', 'b', 'c', 'd']

const keys = { tenant: key<string>({ seed: ({ headers }) => headers['x-token']?.replace('token-', ''), header: 'x-tenant' }) }

const contextFor = (propagate: Propagate) => createContext(keys, { propagate })

t.test('http.request: headersFor returns the headers of a listed origin, and none for another', async (t) => {
  const [listed, other] = [await upstream(t), await upstream(t)]
  const ctx = contextFor({ [listed.origin]: ['requestId', 'tenant'] })
  const call = async (url: string): Promise<void> => {
    const [response] = await once(http.request(url, { headers: { ...ctx.headersFor(url), accept: 'text/csv' } }).end(), 'response') as [IncomingMessage]
    await once(response.resume(), 'end')
  }
  await Promise.all(TENANTS.map(async (tenant) => await ctx.run({ requestId: `id-${tenant}`, tenant }, async () => {
    await call(`${listed.origin}/${tenant}`)
    await call(`${other.origin}/${tenant}`)
  })))
  t.same(listed.calls.map(({ path, headers }) => [path, headers['x-tenant'], headers['x-request-id'], headers.accept]).sort(), TENANTS.map((tenant) => [`/${tenant}`, tenant, `id-${tenant}`, 'text/csv']))
  t.same(other.calls.map(({ headers }) => headers['x-tenant'] ?? headers['x-request-id']), Array(4).fill(undefined))
})

t.test('headersFor returns none outside a scope, and request.ctx.headersFor returns those of its request', async (t) => {
  const ctx = contextFor({ 'https://api.example': ['requestId', 'tenant'] })
  t.same(ctx.headersFor('https://api.example'), {})
  const app = Fastify()
  await app.register(ctx.plugin)
  app.get('/', async (request) => ctx.run({ tenant: 'other' }, () => request.ctx.headersFor(new URL('https://api.example/path')), { inherit: false }))
  const { url } = await listen(t, app)
  const answer = await fetch(url, { headers: { 'x-token': 'token-acme', 'x-request-id': 'id-1' } })
  t.same(await answer.json(), { 'x-request-id': 'id-1', 'x-tenant': 'acme' })
})

t.test('@fastify/reply-from', async (t) => {
  type Rewrite = (request: object, headers: Record<string, any>) => Record<string, any>

  /** The headers that arrive behind a proxy when clients pretend to be another tenant in a header. */
  async function proxied (t: Tap, optionsOf: (ctx: ReturnType<typeof contextFor>) => FastifyReplyFromOptions, rewriteOf: (ctx: ReturnType<typeof contextFor>, target: string) => Rewrite | undefined): Promise<unknown[]> {
    const target = await upstream(t)
    const ctx = contextFor({ [target.origin]: ['requestId', 'tenant'] })
    const app = Fastify()
    await app.register(ctx.plugin)
    await app.register(replyFrom, { base: target.origin, ...optionsOf(ctx) })
    const rewriteRequestHeaders = rewriteOf(ctx, target.origin)
    app.get('/:tenant', async (request, reply) => reply.from(request.url, rewriteRequestHeaders && { rewriteRequestHeaders }))
    const { url } = await listen(t, app)
    const call = async (path: string, headers: Record<string, string>): Promise<string> => await (await fetch(`${url}/${path}`, { headers })).text()
    t.same(await Promise.all(TENANTS.map(async (tenant) => await call(tenant, { 'x-token': `token-${tenant}`, 'x-tenant': 'spoofed', 'x-request-id': `id-${tenant}` }))), Array(4).fill('ok'))
    await call('nobody', { 'x-tenant': 'spoofed', 'x-request-id': 'id-nobody' })
    return target.calls.map(({ path, headers }) => `${path} ${String(headers['x-tenant'])} ${String(headers['x-request-id'])}`).sort()
  }

  const own = [...TENANTS, 'nobody'].map((tenant) => `/${tenant} ${tenant === 'nobody' ? 'undefined' : tenant} id-${tenant}`)
  const spoofed = [...TENANTS, 'nobody'].map((tenant) => `/${tenant} spoofed id-${tenant}`)

  /** Drops the client's header, then adds ours if http needs it. */
  const without: Rewrite = (_request, { 'x-tenant': _said, ...headers }) => headers
  const agent = (): Agent => {
    const agent = new Agent({ connections: 1 })
    t.teardown(() => agent.close())
    return agent
  }

  t.test('over http: call headersFor last, and drop the client\'s headers', async (t) => {
    t.same(await proxied(t, () => ({ http: {} }), (ctx, target) => (request, headers) => ({ ...without(request, headers), ...ctx.headersFor(target) })), own)
  })

  t.test('over an agent composed with the interceptor', async (t) => {
    t.same(await proxied(t, (ctx) => ({ undici: agent().compose(ctx.interceptor) as Agent }), () => without), own)
  })

  t.test('over the global agent', async (t) => {
    // The undici package's: the one in early versions of Node.js has no `request`.
    const before = getGlobalDispatcher()
    t.teardown(() => { setGlobalDispatcher(before) })
    setGlobalDispatcher(agent())
    t.same(await proxied(t, () => ({ globalAgent: true }), () => without), own)
  })

  t.test('the trap: a proxy that forwards the client\'s header trusts it', async (t) => {
    t.same(await proxied(t, (ctx) => ({ undici: agent().compose(ctx.interceptor) as Agent }), () => undefined), spoofed)
    t.same(await proxied(t, () => ({ http: {} }), () => (_request, headers) => headers), spoofed)
    t.same(await proxied(t, () => ({ http: {} }), (ctx, target) => (_request, headers) => ({ ...headers, ...ctx.headersFor(target) })), [...own.slice(0, 4), spoofed[4]], 'headersFor alone does not help if the key is not set')
  })
})
