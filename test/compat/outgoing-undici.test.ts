// The undici package: its calls, its pools, its interceptors.
import diagnostics from 'node:diagnostics_channel'
import { Writable } from 'node:stream'
import t from 'tap'
import { Agent, Client, fetch as undiciFetch, interceptors, Pool, request, RetryAgent, stream, type Dispatcher } from 'undici'
import { createContext, key } from '../../lib/index.ts'
import { gate } from '../support/support.ts'
import { redirect, upstream, type Upstream } from '../integration/upstream.ts'

const contextFor = (...servers: Upstream[]) => createContext({ tenant: key<string>({ header: 'x-tenant' }) }, { propagate: Object.fromEntries(servers.map(({ origin }) => [origin, ['tenant']])) })

/** Path and tenant of each call. */
const seen = ({ calls }: Upstream): string[] => calls.map(({ path, headers }) => `${path} ${String(headers['x-tenant'])}`)

async function get (url: string, dispatcher?: Dispatcher): Promise<string> {
  return await (await request(url, dispatcher && { dispatcher })).body.text()
}

t.test("undici's request, stream and fetch use the global dispatcher, as Node's fetch does", async (t) => {
  const [listed, other] = [await upstream(t), await upstream(t)]
  const ctx = contextFor(listed)
  await ctx.run({ tenant: 'acme' }, async () => {
    for (const { origin } of [listed, other]) {
      await get(`${origin}/request`)
      await stream(`${origin}/stream`, { method: 'GET' }, () => new Writable({ write (_chunk, _encoding, done) { done() } }))
      await (await undiciFetch(`${origin}/fetch`)).text()
    }
  })
  t.same(seen(listed), ['/request acme', '/stream acme', '/fetch acme'])
  t.same(seen(other), ['/request undefined', '/stream undefined', '/fetch undefined'])
})

t.test('headers in every format arrive once and unchanged', async (t) => {
  const listed = await upstream(t)
  const ctx = contextFor(listed)
  const forms = [{ 'X-A': '1' }, ['X-A', '1'], new Headers({ 'X-A': '1' }), new Map([['X-A', '1']]), Object.entries({ 'X-A': '1' })[Symbol.iterator](), undefined, null]
  await ctx.run({ tenant: 'acme' }, async () => {
    for (const headers of forms) await (await request(listed.origin, { headers: headers as never })).body.dump()
    for (const headers of [{ 'X-TENANT': 'own' }, ['X-TENANT', 'own']]) await (await request(listed.origin, { headers })).body.dump()
  })
  t.same(listed.all('x-a'), ['1', '1', '1', '1', '1', undefined, undefined, undefined, undefined])
  t.same(listed.all('x-tenant'), [...Array(7).fill('acme'), 'own', 'own'])
})

t.test('a pool whose only connection is busy', async (t) => {
  const release = gate()
  const listed = await upstream(t, async ({ path }, response) => {
    if (path === '/first') await release.promise
    response.end('ok')
  })
  const ctx = contextFor(listed)
  const pool = new Pool(listed.origin, { connections: 1 })
  const dispatcher = pool.compose(ctx.interceptor)
  t.teardown(() => pool.close())

  // The tenant that a subscriber of this event would read.
  const told: string[] = []
  const look = (message: unknown): void => { told.push(`${(message as { request: { path: string } }).request.path} ${ctx.get('tenant')}`) }
  diagnostics.subscribe('undici:request:create', look)
  t.teardown(() => { diagnostics.unsubscribe('undici:request:create', look) })

  const calls = ['first', 'a', 'b', 'c'].map((tenant) => ctx.run({ tenant }, () => get(`${listed.origin}/${tenant}`, dispatcher)))
  const fetched = ctx.run({ tenant: 'fetched' }, async () => await (await undiciFetch(`${listed.origin}/fetched`, { dispatcher })).text())
  release.open()
  await Promise.all([...calls, fetched])

  t.test('each queued call has its own tenant', async (t) => {
    t.same(seen(listed).sort(), ['a', 'b', 'c', 'fetched', 'first'].map((tenant) => `/${tenant} ${tenant}`))
  })

  t.test("undici's own event has the tenant of another request, which is why the interceptor exists", async (t) => {
    t.equal(told.length, 5)
    t.ok(told.some((line) => { const [path, tenant] = line.split(' '); return path !== `/${tenant}` }), told.join(', '))
  })
})

t.test('redirects and retries, which undici makes in the code that opened its connection', async (t) => {
  const follow = interceptors.redirect({ maxRedirections: 5 })
  const again = interceptors.retry({ minTimeout: 1, maxTimeout: 1, statusCodes: [503] })
  const orders: Record<string, (agent: Agent, ours: Dispatcher.DispatcherComposeInterceptor) => Dispatcher> = {
    'redirect, retry': (agent, ours) => agent.compose(ours, follow, again),
    'retry, redirect': (agent, ours) => agent.compose(ours, again, follow),
    'redirect, decompress, retry': (agent, ours) => agent.compose(ours, follow, interceptors.decompress(), again),
    'decompress, redirect': (agent, ours) => agent.compose(ours, again, interceptors.decompress(), follow),
    'redirect, dump, RetryAgent': (agent, ours) => new RetryAgent(agent.compose(ours, follow, interceptors.dump()), { minTimeout: 1, maxTimeout: 1, statusCodes: [503] })
  }
  for (const [order, compose] of Object.entries(orders)) {
    t.test(`${order}: each call keeps its own tenant, and sends it only to listed origins`, async (t) => {
      const tried = new Set<string>()
      const listed: Upstream = await upstream(t, ({ path }, response) => {
        if (path.startsWith('/try') && !tried.has(path)) {
          tried.add(path)
          response.writeHead(503).end()
        } else if (path.startsWith('/try')) redirect(response, path.replace('try', 'same'), 307)
        else if (path.startsWith('/same')) redirect(response, `${other.origin}${path.replace('same', 'other')}`)
        else response.end('ok')
      })
      const other: Upstream = await upstream(t, ({ path }, response) => redirect(response, `${listed.origin}${path.replace('other', 'back')}`))
      const ctx = contextFor(listed)
      const agent = new Agent({ connections: 1 })
      t.teardown(() => agent.close())
      const dispatcher = compose(agent, ctx.interceptor)
      // The connection is opened by none of the later requests.
      await ctx.run({ tenant: 'opener' }, () => get(`${listed.origin}/open`, dispatcher))
      const tenants = ['a', 'b', 'c', 'd']
      await Promise.all([...tenants.map((tenant) => ctx.run({ tenant }, () => get(`${listed.origin}/try-${tenant}`, dispatcher))), get(`${listed.origin}/try-nobody`, dispatcher)])
      t.same(seen(listed).slice(1).sort(), [
        ...tenants.flatMap((tenant) => [`/back-${tenant} undefined`, ...['same', 'try', 'try'].map((path) => `/${path}-${tenant} ${tenant}`)]),
        ...['back', 'same', 'try', 'try'].map((path) => `/${path}-nobody undefined`)
      ].sort())
      t.same(seen(other).sort(), [...tenants, 'nobody'].map((tenant) => `/other-${tenant} undefined`).sort())
    })
  }
})

t.test('a custom handler shared by two tenants: each dispatch has its own tenant', async (t) => {
  const listed = await upstream(t)
  const ctx = contextFor(listed)
  const pool = new Pool(listed.origin, { connections: 1 })
  t.teardown(() => pool.close())
  const dispatcher = pool.compose(ctx.interceptor)
  const done = gate()
  let ends = 0
  const shared: Dispatcher.DispatchHandler = {
    onRequestStart () {},
    onResponseStart () {},
    onResponseData () {},
    onResponseEnd () { if (++ends === 3) done.open() },
    onResponseError (_controller, error) { throw error }
  }
  for (const tenant of ['acme', 'globex']) ctx.run({ tenant }, () => dispatcher.dispatch({ origin: listed.origin, path: `/${tenant}`, method: 'GET' }, shared))
  dispatcher.dispatch({ origin: listed.origin, path: '/nobody', method: 'GET' }, shared)
  await done.promise
  t.same(seen(listed), ['/acme acme', '/globex globex', '/nobody undefined'])
})

t.test('a cache interceptor below ours separates tenants if the response has Vary', async (t) => {
  const listed = await upstream(t, ({ headers }, response) => {
    response.writeHead(200, { 'cache-control': 'public, max-age=60', vary: 'x-tenant' })
    response.end(headers['x-tenant'])
  })
  const ctx = contextFor(listed)
  const agent = new Agent()
  t.teardown(() => agent.close())
  const dispatcher = agent.compose(interceptors.cache(), interceptors.deduplicate(), interceptors.dns(), ctx.interceptor)
  const answers: string[] = []
  for (const tenant of ['acme', 'globex', 'acme', 'globex']) answers.push(await ctx.run({ tenant }, () => get(listed.origin, dispatcher)))
  t.same(answers, ['acme', 'globex', 'acme', 'globex'])
  t.same(listed.all('x-tenant'), ['acme', 'globex'])
})

t.test('a client or pool called without an origin does not reveal the target of a call: nothing is sent', async (t) => {
  const listed = await upstream(t)
  const ctx = contextFor(listed)
  for (const client of [new Client(listed.origin), new Pool(listed.origin)]) {
    const dispatcher = client.compose(ctx.interceptor)
    await ctx.run({ tenant: 'acme' }, async () => {
      await (await dispatcher.request({ path: '/without', method: 'GET' })).body.dump()
      await (await dispatcher.request({ origin: listed.origin, path: '/with', method: 'GET' })).body.dump()
    })
    await client.close()
  }
  t.same(seen(listed), ['/without undefined', '/with acme', '/without undefined', '/with acme'])
})

t.test('events of a body on a connection of another request run in the scope of the call', async (t) => {
  const listed = await upstream(t, (_call, response) => {
    response.write('one')
    setImmediate(() => response.end('two'))
  })
  const ctx = contextFor(listed)
  const agent = new Agent({ connections: 1 })
  t.teardown(() => agent.close())
  const dispatcher = agent.compose(ctx.interceptor)
  const told = await Promise.all(['a', 'b', 'c'].map(async (tenant) => await ctx.run({ tenant }, async () => {
    const { body } = await request(listed.origin, { dispatcher })
    const seen: unknown[] = []
    body.on('data', () => { seen.push(ctx.get('tenant')) })
    await new Promise<void>((resolve) => { body.on('end', () => { seen.push(ctx.get('tenant')); resolve() }) })
    return [...new Set(seen)]
  })))
  t.same(told, [['a'], ['b'], ['c']])
})
