import http from 'node:http'
import { Readable } from 'node:stream'
import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import { createContext, key } from '../../lib/index.ts'
import { Lines, listen, type Tap } from '../support/support.ts'
import { gates } from './endings.ts'

const TENANTS = ['alpha', 'beta'] as const

function tenantContext () {
  return createContext({ tenant: key<string>({ seed: (request) => request.headers['x-tenant'], log: true }) })
}

async function get (url: string, headers: Record<string, string>): Promise<unknown> {
  const response = await fetch(url, { headers })
  return await response.json()
}

/** Sends a request for each tenant at once, with the headers that both contexts read. */
async function both (url: string): Promise<unknown[]> {
  return await Promise.all(TENANTS.map((tenant) => get(url, { 'x-tenant': tenant, 'x-other': `other ${tenant}` })))
}

/** Sends a body in two parts, the second when the server says that it has the first. */
async function post (url: string, headers: Record<string, string>, next: Promise<unknown>): Promise<unknown> {
  const request = http.request(url, { method: 'POST', headers: { ...headers, 'content-type': 'text/parts' }, agent: false })
  const response = new Promise<http.IncomingMessage>((resolve, reject) => { request.on('response', resolve).on('error', reject) })
  Readable.from((async function * () { yield 'one'; await next; yield 'two' })()).pipe(request)
  let text = ''
  for await (const part of await response) text += String(part)
  return JSON.parse(text)
}

t.test('hooks added before the plugin have no scope in onRequest, and the scope of the request in all later phases', async (t) => {
  const ctx = tenantContext()
  const seen: Record<string, unknown[]> = {}
  const see = (phase: string, value: unknown): void => { (seen[phase] ??= []).push(value) }
  const gate = gates(2)
  const app = Fastify()
  app.addHook('onRequest', async (request) => {
    see('onRequest', ctx.get('tenant'))
    see('request.ctx in onRequest', (request.ctx as { tenant?: string }).tenant)
    see('ctx.has in onRequest', ctx.has('tenant'))
  })
  for (const phase of ['preParsing', 'preValidation', 'preHandler', 'onSend', 'onResponse'] as const) {
    app.addHook(phase as 'preHandler', async (request) => { see(`${phase} of ${String(request.headers['x-tenant'])}`, ctx.get('tenant')) })
  }
  app.addHook('onResponse', (_request, _reply, done) => { gate.reach(); done() })
  await app.register(ctx.plugin)
  app.get('/', async () => ({}))
  const { url } = await listen(t, app)
  await both(url)
  await gate.reached
  t.same(seen.onRequest, [undefined, undefined])
  t.same(seen['request.ctx in onRequest'], [undefined, undefined])
  t.same(seen['ctx.has in onRequest'], [false, false])
  for (const tenant of TENANTS) {
    for (const phase of ['preParsing', 'preValidation', 'preHandler', 'onSend', 'onResponse']) t.same(seen[`${phase} of ${tenant}`], [tenant], `${phase} of ${tenant}`)
  }
})

t.test('in a child plugin: covers the routes and the 404 of that child and its children, also in the middle of a request', async (t) => {
  const ctx = tenantContext()
  const app = Fastify()
  app.register(async (child) => {
    await child.register(ctx.plugin)
    child.get('/in', async () => ({ tenant: ctx.get('tenant') }))
    child.setNotFoundHandler(async () => ({ tenant: ctx.get('tenant') }))
    child.register(async (grandchild) => { grandchild.get('/deep', async () => ({ tenant: ctx.get('tenant') })) })
  }, { prefix: '/child' })
  app.register(async (sibling) => { sibling.get('/sibling', async (request) => ({ tenant: ctx.get('tenant'), ctx: 'ctx' in request })) })
  app.get('/out', async (request) => ({ tenant: ctx.get('tenant'), ctx: 'ctx' in request }))
  app.setNotFoundHandler(async () => ({ tenant: ctx.get('tenant') }))
  const { url } = await listen(t, app)
  for (const path of ['/child/in', '/child/deep', '/child/none']) t.same(await both(`${url}${path}`), TENANTS.map((tenant) => ({ tenant })), path)
  for (const path of ['/out', '/sibling']) t.same(await both(`${url}${path}`), [{ ctx: false }, { ctx: false }], path)
  t.same(await both(`${url}/none`), [{}, {}])
})

t.test('the same context in two siblings: each covers its own routes, with its own options', async (t) => {
  const ctx = tenantContext()
  const app = Fastify()
  for (const [i, name] of ['first', 'second'].entries()) {
    app.register(async (child) => {
      await child.register(ctx.plugin, { requestId: { header: `x-${name}` } })
      child.get('/', async (request) => ({ tenant: ctx.get('tenant'), id: request.id === `id-${i}`, known: request.id === ctx.get('requestId') }))
    }, { prefix: `/${name}` })
  }
  app.get('/', async () => ({ tenant: ctx.get('tenant') }))
  const { url } = await listen(t, app)
  const headers = { 'x-tenant': 'alpha', 'x-first': 'id-0', 'x-second': 'id-1' }
  t.same(await get(`${url}/first`, headers), { tenant: 'alpha', id: true, known: true })
  t.same(await get(`${url}/second`, headers), { tenant: 'alpha', id: true, known: true })
  t.same(await get(url, headers), {})
})

for (const order of ['parent, then child', 'child, then parent'] as const) {
  t.test(`the same context in ${order}: one scope per request`, async (t) => {
    let seeds = 0
    const ctx = createContext({ tenant: key<string>({ seed: (request) => { seeds++; return request.headers['x-tenant'] }, log: true }) })
    const lines = new Lines(t)
    const app = Fastify({ logger: { stream: lines } })
    const registerChild = (): FastifyInstance => app.register(async (child) => {
      await child.register(ctx.plugin)
      child.get('/child', async (request) => { request.log.info('child'); return { tenant: ctx.get('tenant') } })
    })
    if (order === 'child, then parent') await registerChild()
    await app.register(ctx.plugin)
    if (order === 'parent, then child') await registerChild()
    app.get('/', async () => ({ tenant: ctx.get('tenant') }))
    const { url } = await listen(t, app)
    for (const path of ['/child', '/']) t.same(await both(`${url}${path}`), TENANTS.map((tenant) => ({ tenant })), path)
    t.equal(seeds, 4)
    t.same(lines.all('child').map((line) => line.tenant).sort(), TENANTS)
  })
}

t.test('two contexts in one application', async (t) => {
  async function open (t: Tap) {
    const first = createContext({
      tenant: key<string>({ seed: (request) => request.headers['x-tenant'] }),
      ofFirst: key<string>({ seed: (request) => request.headers['x-tenant'], log: true }),
      note: key<string>()
    })
    const second = createContext({
      tenant: key<string>({ seed: (request) => request.headers['x-other'] }),
      ofSecond: key<string>({ seed: (request) => request.headers['x-other'], log: true }),
      note: key<string>()
    })
    const lines = new Lines(t)
    const app = Fastify({ logger: { stream: lines } })
    const here = () => ({ first: first.get('tenant'), second: second.get('tenant') })
    await app.register(first.plugin)
    app.get('/first', async () => here())
    app.register(async (child) => {
      await child.register(second.plugin)
      const begun = gates(2)
      child.addContentTypeParser('text/parts', (_request, payload, done) => {
        const seen: unknown[] = []
        payload.on('data', () => { seen.push(here()); begun.reach() })
        payload.on('end', () => { seen.push(here()); done(null, seen) })
      })
      child.post('/both', async (request) => {
        request.log.info('both')
        return { body: request.body, handler: here() }
      })
      child.get('/begun', async () => { await begun.reached; return {} })
      child.get('/set', async () => {
        first.set('note', 'of the first')
        const within = second.run({ note: 'of a run' }, () => ({ first: first.get('note'), second: second.get('note') }))
        return { first: first.get('note'), second: second.get('note'), within }
      })
    })
    const { url } = await listen(t, app)
    return { url, lines }
  }

  t.test('each sees its own values, also after a body that arrives in two parts', async (t) => {
    const { url, lines } = await open(t)
    const begun = get(`${url}/begun`, {})
    const answers = await Promise.all(TENANTS.map((tenant) => post(`${url}/both`, { 'x-tenant': tenant, 'x-other': `other ${tenant}` }, begun)))
    t.same(answers, TENANTS.map((tenant) => {
      const own = { first: tenant, second: `other ${tenant}` }
      return { body: [own, own, own], handler: own }
    }))
    t.same(lines.all('both').map(({ ofFirst, ofSecond }) => `${ofFirst}, ${ofSecond}`).sort(), TENANTS.map((tenant) => `${tenant}, other ${tenant}`))
  })

  t.test('in a part with only one of them, the other has no value and no log field', async (t) => {
    const { url, lines } = await open(t)
    t.same(await both(`${url}/first`), TENANTS.map((first) => ({ first })))
    for (const line of lines.all('request completed')) t.same(Object.keys(line).filter((name) => name.startsWith('of')), ['ofFirst'])
  })

  t.test('a write to one is not visible in the other, nor in a run of the other', async (t) => {
    const { url } = await open(t)
    t.same(await get(`${url}/set`, {}), { first: 'of the first', within: { first: 'of the first', second: 'of a run' } })
  })
})

t.test('the same context in two applications of one process', async (t) => {
  const ctx = tenantContext()
  const here = (): unknown => ({ tenant: ctx.get('tenant') })
  for (const way of ['inject', 'fetch'] as const) {
    for (const named of [true, false]) {
      t.test(`one calls the other by ${way}, ${named ? 'for another tenant' : 'for none'}: neither sees the other's values`, async (t) => {
        const gate = gates(2)
        const b = Fastify()
        await b.register(ctx.plugin)
        b.get('/', async () => { gate.reach(); await gate.reached; return here() })
        const { url } = await listen(t, b)
        const a = Fastify()
        await a.register(ctx.plugin)
        a.get('/', async (request) => {
          const headers: Record<string, string> = named ? { 'x-tenant': `called by ${request.id}` } : {}
          const called = way === 'inject' ? (await b.inject({ url: '/', headers })).json<unknown>() : await get(url, headers)
          return { called, caller: here() }
        })
        const { url: callerUrl } = await listen(t, a)
        const answers = await Promise.all(TENANTS.map((tenant) => get(callerUrl, { 'x-tenant': tenant, 'x-request-id': tenant })))
        t.same(answers, TENANTS.map((tenant) => ({ called: named ? { tenant: `called by ${tenant}` } : {}, caller: { tenant } })))
      })
    }
  }
})
