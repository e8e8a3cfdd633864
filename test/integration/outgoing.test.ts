// fetch against real servers: a listed origin receives the values of the calling scope, any other origin receives nothing.
import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import context, { createContext, ctx as readyMade, key, type Propagate } from '../../lib/index.ts'
import { gate, listen, turns, type Tap } from '../support/support.ts'
import { redirect, upstream, type Upstream } from './upstream.ts'

const TRACEPARENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
const OURS = ['x-request-id', 'x-tenant', 'traceparent']

const keys = { tenant: key<string>({ seed: ({ headers }) => headers['x-tenant'], header: 'x-tenant' }) }

const contextFor = (propagate: Propagate): Tenants => createContext(keys, { propagate })

type Tenants = ReturnType<typeof createContext<typeof keys>>

/** An application of tenants whose handler makes a call and returns its result. */
async function serve (t: Tap, ctx: Tenants, handler: (tenant: string) => unknown): Promise<(tenant: string) => Promise<string>> {
  const app = Fastify()
  await app.register(ctx.plugin)
  app.get('/', async ({ headers }) => handler(headers['x-tenant'] as string))
  const { url } = await listen(t, app)
  return async (tenant) => (await fetch(url, { headers: { 'x-tenant': tenant, 'x-request-id': `id-${tenant}`, traceparent: TRACEPARENT } })).text()
}

/** Which of our headers each call had. */
const carried = ({ calls }: Upstream): string[][] => calls.map(({ headers }) => OURS.filter((name) => name in headers))

async function get (url: string, init?: RequestInit): Promise<string> {
  return (await fetch(url, init)).text()
}

t.test('a listed origin receives the id, the keys with a header and the trace; another one receives nothing', async (t) => {
  const [listed, other] = [await upstream(t), await upstream(t)]
  const ctx = contextFor({ [listed.origin]: ['requestId', 'tenant'] })
  const call = await serve(t, ctx, async () => `${await get(`${listed.origin}/a?b`)}, ${await get(other.origin)}, ${await get(listed.byName)}`)
  t.equal(await call('acme'), 'ok, ok, ok')
  const [toListed, byName] = listed.calls
  t.match(toListed, { path: '/a?b', headers: { 'x-request-id': 'id-acme', 'x-tenant': 'acme', traceparent: /^00-4bf92f3577b34da6a3ce929d0e0e4736-(?!00f067aa0ba902b7)[0-9a-f]{16}-01$/ } })
  t.same([...carried(other), OURS.filter((name) => name in byName!.headers)], [[], []], 'nor the same server by an unlisted name')
})

t.test('redirects', async (t) => {
  for (const status of [301, 302, 303, 307, 308]) {
    for (const method of ['GET', 'POST']) {
      t.test(`a ${status} redirect of a ${method} keeps the headers in its origin; after another origin they are gone, even if it leads back`, async (t) => {
        const listed: Upstream = await upstream(t, ({ path }, response) => {
          if (path === '/same') redirect(response, '/there', status)
          else if (path === '/other') redirect(response, `${other.origin}/there`, status)
          else if (path === '/name') redirect(response, `${listed.byName}/there`, status)
          else response.end('ok')
        })
        const other: Upstream = await upstream(t, ({ path }, response) => {
          if (path === '/back') redirect(response, `${listed.origin}/there`, status)
          else response.end('ok')
        })
        const ctx = contextFor({ [listed.origin]: ['requestId', 'tenant'] })
        const init = method === 'GET' ? {} : { method, body: 'body' }
        await ctx.run({ tenant: 'acme' }, async () => {
          for (const url of [`${listed.origin}/same`, `${listed.origin}/other`, `${listed.origin}/name`, `${other.origin}/back`, `${listed.origin}/there`]) t.equal(await get(url, init), 'ok')
        })
        const both = ['x-request-id', 'x-tenant']
        t.same(listed.calls.map(({ path }, i) => [path, carried(listed)[i]]), [['/same', both], ['/there', both], ['/other', both], ['/name', both], ['/there', []], ['/there', []], ['/there', both]])
        t.same(other.calls.map(({ path }, i) => [path, carried(other)[i]]), [['/there', []], ['/back', []]])
      })
    }
  }
})

t.test('a redirect from an unlisted server to a listed one is followed without our headers', async (t) => {
  const steps: Record<string, (origin: string) => string> = {
    '/direct': (origin) => `${origin}/account`,
    '/longer': (origin) => `${origin}/onwards`,
    '/written': (origin) => `${origin.replace('http:', 'HTTP:')}/./x/../account?#fragment`,
    '/bytes': (origin) => `${origin}/b\xc3\xbccher`,
    '/outside': () => '/direct'
  }
  const listed: Upstream = await upstream(t, ({ path }, response) => {
    // The body is still being sent when the next step is called.
    if (path === '/onwards') redirect(response, '/account?2')
    else response.end('ok')
  })
  const other: Upstream = await upstream(t, ({ path }, response) => redirect(response, steps[path]!(listed.origin)))
  const ctx = contextFor({ [listed.origin]: ['requestId', 'tenant'] })
  await ctx.run({ tenant: 'acme' }, async () => {
    for (const path of Object.keys(steps)) t.equal(await get(`${other.origin}${path}`), 'ok')
    t.same(carried(listed), Array(6).fill([]))

    listed.calls.length = 0
    await Promise.all([get(`${other.origin}/direct`), get(`${listed.origin}/own`)])
    await get(`${listed.origin}/account`)
    const seen = listed.calls.map(({ path, headers }) => `${path} ${String(headers['x-tenant'])}`)
    t.same(seen.sort(), ['/account acme', '/account undefined', '/own acme'], 'the application\'s own calls have the values, before and after')
  })
  listed.calls.length = 0
  const answer = await ctx.run({ tenant: 'acme' }, async () => await fetch(`${other.origin}/direct`, { redirect: 'manual' }))
  t.equal(answer.status, 302)
  await ctx.run({ tenant: 'globex' }, async () => await get(`${listed.origin}/account`))
  t.same(listed.all('x-tenant'), ['globex'], 'another scope is not part of that redirect')
})

t.test('50 concurrent requests of different tenants over kept-alive connections: each call has its own tenant', async (t) => {
  const listed = await upstream(t, ({ path, headers }, response) => response.end(`${path.slice(1)} ${String(headers['x-tenant'])} ${String(headers['x-request-id'])}`))
  const ctx = contextFor({ [listed.origin]: ['requestId', 'tenant'] })
  const all = gate()
  let waiting = 0
  const call = await serve(t, ctx, async (tenant) => {
    const first = await get(`${listed.origin}/${tenant}`)
    if (++waiting === 50) all.open()
    await all.promise
    return [first, ...await Promise.all([1, 2, 3].map(async () => await get(`${listed.origin}/${tenant}`)))]
  })
  const tenants = Array.from({ length: 50 }, (_, i) => `t${i}`)
  const answers = await Promise.all(tenants.map(async (tenant) => JSON.parse(await call(tenant)) as unknown))
  t.same(answers, tenants.map((tenant) => Array(4).fill(`${tenant} ${tenant} id-${tenant}`)))
})

t.test('outside a scope, and after its end, nothing is sent', async (t) => {
  const listed = await upstream(t)
  const ctx = contextFor({ [listed.origin]: ['requestId', 'tenant'] })
  const [over, sent] = [gate(), gate()]
  const call = await serve(t, ctx, async () => {
    ctx.onEnd(() => { setTimeout(over.open, 20) })
    over.promise.then(() => get(listed.origin)).then(() => { sent.open() })
    return 'ok'
  })
  await get(listed.origin)
  await call('acme')
  await sent.promise
  t.same(carried(listed), [[], []])
})

t.test('detached work sends the headers of its copy', async (t) => {
  const listed = await upstream(t)
  const ctx = contextFor({ [listed.origin]: ['requestId', 'tenant'] })
  const sent = gate()
  const call = await serve(t, ctx, async () => {
    ctx.after(async () => {
      await turns()
      await get(listed.origin)
      sent.open()
    })
    return 'ok'
  })
  await call('acme')
  await sent.promise
  t.match(listed.calls, [{ headers: { 'x-request-id': 'id-acme', 'x-tenant': 'acme', traceparent: /^00-4bf92f3577b34da6a3ce929d0e0e4736-/ } }])
})

t.test('values that run and impersonate shadow are sent', async (t) => {
  const listed = await upstream(t)
  const ctx = contextFor({ [listed.origin]: ['tenant'] })
  await ctx.run({ tenant: 'acme' }, async () => {
    await ctx.impersonate({ tenant: 'globex' }, { reason: 'ticket' }, async () => await get(listed.origin))
    await get(listed.origin)
  })
  t.same(listed.all('x-tenant'), ['globex', 'acme'])
})

t.test('two contexts: each sends its own keys to its own origins', async (t) => {
  const [both, one] = [await upstream(t), await upstream(t)]
  const tenants = createContext({ tenant: key<string>({ header: 'x-tenant' }) }, { propagate: { [both.origin]: ['tenant'], [one.origin]: ['tenant'] } })
  const jobs = createContext({ job: key<string>({ header: 'x-job' }) }, { propagate: { [both.origin]: ['job'] } })
  await tenants.run({ tenant: 'acme' }, async () => await jobs.run({ job: 'report' }, async () => {
    await get(both.origin)
    await get(one.origin)
  }))
  t.match(both.calls, [{ headers: { 'x-tenant': 'acme', 'x-job': 'report' } }])
  t.equal(one.calls[0]?.headers['x-tenant'], 'acme')
  t.notOk('x-job' in one.calls[0]!.headers)
})

t.test('the ready-made context sends headers from its registration on, and keeps its policy for work after its application has closed', async (t) => {
  const listed = await upstream(t)
  const call = async (): Promise<string> => await readyMade.run({ tenant: 'acme' }, async () => await get(listed.origin))
  await call()
  const app: FastifyInstance = Fastify()
  await app.register(context, { keys: { tenant: { header: 'x-tenant' } }, propagate: { [listed.origin]: ['tenant'] } })
  await call()
  await app.close()
  await call()
  t.same(listed.all('x-tenant'), [undefined, 'acme', 'acme'])
})

t.test("a caller's own header is kept, in every format that fetch accepts", async (t) => {
  const listed = await upstream(t)
  const ctx = contextFor({ [listed.origin]: ['requestId', 'tenant'] })
  await ctx.run({ requestId: 'id-1', tenant: 'acme' }, async () => {
    for (const headers of [{ 'X-Tenant': 'own' }, new Headers({ 'X-Tenant': 'own' }), [['X-TENANT', 'own'] as [string, string]]]) await get(listed.origin, { headers })
    await (await fetch(new Request(listed.origin, { headers: { 'x-tenant': 'own' } }))).text()
  })
  t.same(listed.all('x-tenant'), Array(4).fill('own'))
  t.same(listed.all('x-request-id'), Array(4).fill('id-1'))
  t.same(listed.calls.map(({ raw }) => raw.filter((name) => /^x-tenant$/i.test(name)).length), Array(4).fill(1))
})

t.test('a hostile value is one header that decodes to it; one that is too long is left out, and the call is made', async (t) => {
  const listed = await upstream(t)
  const ctx = contextFor({ [listed.origin]: ['tenant'] })
  const hostile = ['a\r\nx-admin: true\r\n\r\nGET /admin HTTP/1.1', '\0', '📚 Bücher', '%00', ' ', 'x'.repeat(1024)]
  for (const tenant of [...hostile, 'x'.repeat(1025), '\ud800']) t.equal(await ctx.run({ tenant }, async () => await get(listed.origin)), 'ok')
  t.same(listed.all('x-tenant').map((value) => value === undefined ? value : decodeURIComponent(value as string)), [...hostile, undefined, undefined])
  t.same(listed.all('x-admin').filter((value) => value !== undefined), [])
})
