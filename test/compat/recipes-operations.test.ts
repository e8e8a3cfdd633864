// Recipes for operations: error reports, metrics, limits, caches and languages per tenant, and an audit log.
import rateLimit from '@fastify/rate-limit'
import * as Sentry from '@sentry/node'
import pino from 'pino'
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import t from 'tap'
import { createContext, key } from '../../lib/index.ts'
import { Lines } from '../support/support.ts'
import { ctx } from './recipes/context.ts'
import { headersOf, TENANTS, Watch } from './recipes/watch.ts'

t.test('Sentry: an event has the id and the tenant of the request in which it was captured', async (t) => {
  const watch = new Watch(t)
  const { app } = watch
  const sent: Sentry.ErrorEvent[] = []
  const dsn = 'http://public@127.0.0.1:9/1'
  const before = Sentry.getGlobalScope().getScopeData().eventProcessors.length
  await app.register(ctx.plugin)

  Sentry.init({ dsn, defaultIntegrations: false, beforeSend: (event) => { sent.push(event); return null } })
  Sentry.addEventProcessor((event) => {
    event.extra = { ...event.extra, ...ctx.fields() } // only what log lines show
    return event
  })
  app.setErrorHandler(async (error, _request, reply) => {
    Sentry.captureException(error)
    return await reply.code(500).send('failed')
  })

  app.get('/', async () => { await watch.meet('/'); throw new Error(`failed for ${ctx.get('tenant')}`) })
  t.teardown(async () => { await Sentry.close(100) })
  await watch.listen()
  await watch.askBoth('/')
  for (let i = 0; i < 50 && sent.length < 2; i++) await new Promise((resolve) => { setTimeout(resolve, 10) })
  t.equal(before, 0)
  t.same(sent.map(({ extra, exception }) => [extra?.tenant, extra?.reqId, exception?.values?.[0]?.value]).sort(), TENANTS.map((tenant) => [tenant, `id-${tenant}`, `failed for ${tenant}`]))
})

t.test('prom-client: the tenant as a label, from a list of known tenants', async (t) => {
  const watch = new Watch(t)
  const { app } = watch
  const registry = new Registry()
  await app.register(ctx.plugin)

  const known = new Set(['acme', 'globex']) // limit the values that a client can put into a label
  const requests = new Counter({ name: 'requests_total', help: 'Requests', labelNames: ['tenant', 'route'], registers: [registry] })
  const durations = new Histogram({ name: 'request_seconds', help: 'Seconds', labelNames: ['tenant'], registers: [registry] })
  const label = () => known.has(ctx.get('tenant') ?? '') ? ctx.get('tenant')! : 'other'
  app.addHook('onResponse', async (request, reply) => {
    requests.inc({ tenant: label(), route: request.routeOptions.url ?? 'none' })
    durations.observe({ tenant: label() }, reply.elapsedTime / 1000)
  })

  app.get('/', async () => { await watch.meet('/'); return 'done' })

  registry.registerMetric(new Gauge({
    name: 'requests_in_flight',
    help: 'Requests in flight',
    labelNames: ['tenant'],
    registers: [],
    collect () { // called for each scrape
      this.reset()
      for (const { kind, fields } of ctx.inFlight().scopes) if (kind === 'request') this.inc({ tenant: known.has(String(fields.tenant)) ? String(fields.tenant) : 'other' })
    }
  }))
  registry.registerMetric(new Gauge({ name: 'context_late_reads', help: 'Reads after the end', registers: [], collect () { this.set(ctx.inFlight().counts.lateReads) } }))
  ctx.inFlight() // starts counting

  app.get('/other', async () => await registry.metrics())
  await watch.listen()
  await watch.askBoth('/')
  t.match(await watch.ask('unknown" tenant', '/other'), /requests_in_flight\{tenant="other"\} 1\n/)
  t.match(await registry.metrics(), /context_late_reads 0\n/)
  await watch.lines.until('request completed', 3)
  const { values } = await requests.get()
  t.same(values.map(({ labels, value }) => [labels.tenant, labels.route, value]).sort(), [['acme', '/', 1], ['globex', '/', 1], ['other', '/other', 1]])
  t.match(await registry.metrics(), /request_seconds_count\{tenant="acme"\} 1/)
})

t.test('@fastify/rate-limit: a limit per tenant, read in its keyGenerator', async (t) => {
  const watch = new Watch(t)
  const { app } = watch
  await app.register(ctx.plugin)

  await app.register(rateLimit, {
    max: 2,
    hook: 'preHandler', // after authentication: before it, the client chooses the tenant
    keyGenerator: (request) => ctx.get('tenant') ?? request.ip
  })

  app.get('/', async () => ctx.get('tenant'))
  await watch.listen()
  const statuses = async (tenant: string): Promise<number[]> => await Promise.all([1, 2, 3].map(async () => (await fetch(watch.url, { headers: headersOf(tenant) })).status))
  t.same((await Promise.all(TENANTS.map(statuses))).map((each) => each.sort()), [[200, 200, 429], [200, 200, 429]])
})

t.test('an audit log: a separate pino logger with who acted, for whom, and why', async (t) => {
  const watch = new Watch(t)
  const { app } = watch
  const destination = new Lines(t)
  await app.register(ctx.plugin)

  const audit = pino({ mixin: ctx.mixin }, destination) // a separate file or table; never sampled, never at another level
  app.addHook('preHandler', async (request) => { ctx.set('user', { id: String(request.headers['x-user']) }) })
  app.delete<{ Params: { id: string } }>('/orders/:id', async (request) => {
    await ctx.impersonate({ user: { id: 'customer-7' } }, { reason: String(request.headers['x-reason']) }, async () => {
      audit.info({ order: request.params.id }, 'order deleted')
    })
    return 'deleted'
  })

  await watch.listen()
  await watch.askBoth('/orders/1', (tenant) => ({ method: 'DELETE', headers: { 'x-user': `support of ${tenant}`, 'x-reason': 'ticket 4711' } }))
  t.same(destination.all('order deleted').map(({ tenant, user, actor, reason, order, reqId }) => ({ tenant, user, actor, reason, order, reqId })).sort((a, b) => a.tenant < b.tenant ? -1 : 1), TENANTS.map((tenant) => ({
    tenant, user: 'customer-7', actor: { user: `support of ${tenant}` }, reason: 'ticket 4711', order: '1', reqId: `id-${tenant}`
  })))
})

t.test('language and time zone: two keys with a seed, read where text is created', async (t) => {
  const ctx = createContext({
    locale: key<string>({ seed: ({ headers }) => supported(headers['accept-language']) }),
    timeZone: key<string>({ seed: ({ headers }) => zoneOf(headers['x-time-zone']) })
  })
  const languages = ['de', 'en']
  function supported (accepted: string | undefined): string {
    return accepted?.split(',').map((part) => part.split(/[-;]/, 1)[0]!.trim()).find((language) => languages.includes(language)) ?? 'en'
  }
  function zoneOf (name: string | undefined): string {
    return name !== undefined && Intl.supportedValuesOf('timeZone').includes(name) ? name : 'UTC' // check a name from outside: Intl throws on an unknown one
  }
  const formatDate = (date: Date): string => new Intl.DateTimeFormat(ctx.require('locale'), { dateStyle: 'long', timeStyle: 'short', timeZone: ctx.require('timeZone') }).format(date)

  const watch = new Watch(t)
  await watch.app.register(ctx.plugin)
  watch.app.get('/', async () => { await watch.meet('/'); return formatDate(new Date(Date.UTC(2026, 0, 31, 23, 30))) })
  await watch.listen()
  const [german, english] = await Promise.all([
    watch.ask('acme', '/', { headers: { 'accept-language': 'de-CH, en;q=0.5', 'x-time-zone': 'Europe/Berlin' } }),
    watch.ask('globex', '/', { headers: { 'accept-language': 'fr', 'x-time-zone': 'Mars/Base' } })
  ])
  t.match(german, /^1\. Februar 2026 um 00:30$/)
  t.match(english, /^January 31, 2026 at 11:30\sPM$/)
})

t.test('a cache that outlives requests: the tenant is part of each key, and without a tenant nothing is cached', async (t) => {
  const watch = new Watch(t)
  const { app } = watch
  const loads: string[] = []
  const db = { prices: async (sku: string) => { loads.push(`${sku} for ${ctx.get('tenant')}`); return `${sku} for ${ctx.get('tenant')}` } }
  await app.register(ctx.plugin)

  const kept = new Map<string, Promise<string>>()
  async function prices (sku: string): Promise<string> {
    const id = JSON.stringify([ctx.require('tenant'), sku]) // require: without a tenant there is nothing to find and nothing to cache
    const found = kept.get(id) ?? db.prices(sku)
    kept.set(id, found)
    found.catch(() => { kept.delete(id) })
    return await found
  }

  app.get('/', async () => { await watch.meet('/'); return [await prices('tea'), await prices('tea')].join() })
  await watch.listen()
  t.same(await watch.askBoth('/'), TENANTS.map((tenant) => `tea for ${tenant},tea for ${tenant}`))
  t.same(loads.sort(), TENANTS.map((tenant) => `tea for ${tenant}`))
  await t.rejects(prices('tea'), { code: 'FST_CTX_NO_SCOPE' })
})
