import { once } from 'node:events'
import diagnostics from 'node:diagnostics_channel'
import Fastify from 'fastify'
import t from 'tap'
import { createContext, key } from '../../../lib/index.ts'
import type { ScopeMessage } from '../../../lib/scope/diagnostics-channel.ts'
import { gate, listen, turns, type Tap } from '../../support/support.ts'

const ctx = createContext({ tenant: key<string>({ seed: (request) => request.headers['x-tenant'] }) })

interface Heard extends ScopeMessage { readonly channel: string, readonly tenant: string | undefined }

/** Messages of both channels while a test runs, and the tenant that a subscriber reads at that time. */
function listenIn (t: Tap): Heard[] {
  const heard: Heard[] = []
  for (const name of ['open', 'end']) {
    const subscriber = (message: unknown): void => { heard.push({ ...message as ScopeMessage, channel: name, tenant: ctx.get('tenant') }) }
    diagnostics.subscribe(`fastify-ctx:${name}`, subscriber)
    t.teardown(() => { diagnostics.unsubscribe(`fastify-ctx:${name}`, subscriber) })
  }
  return heard
}

t.test('the channels publish a request when its scope opens and when it ends, with its values at the end', async (t) => {
  const heard = listenIn(t)
  const app = Fastify()
  await app.register(ctx.plugin)
  app.get('/notes/:id', async () => 'ok')
  const { url } = await listen(t, app)
  await (await fetch(`${url}/notes/1`, { headers: { 'x-tenant': 'acme', 'x-request-id': 'r-1' } })).text()
  while (heard.length < 2) await turns()
  t.same(heard.map(({ channel, requestId, route, lost, tenant }) => ({ channel, requestId, route, lost, tenant })), [
    { channel: 'open', requestId: 'r-1', route: '/notes/:id', lost: false, tenant: undefined },
    { channel: 'end', requestId: 'r-1', route: '/notes/:id', lost: false, tenant: 'acme' }
  ])
  t.equal(heard[0]!.scope, heard[1]!.scope, 'the same object, so it can be a key')
})

t.test('a disconnected client is published as lost', async (t) => {
  const heard = listenIn(t)
  const entered = gate()
  const app = Fastify()
  await app.register(ctx.plugin)
  app.get('/', async () => {
    const aborted = once(ctx.signal, 'abort')
    entered.open()
    await aborted
  })
  const { url } = await listen(t, app)
  const controller = new AbortController()
  const answer = fetch(url, { signal: controller.signal }).catch(() => {})
  await entered.promise
  controller.abort()
  await answer
  while (heard.length < 2) await turns()
  t.same(heard.map(({ channel, lost }) => ({ channel, lost })), [{ channel: 'open', lost: false }, { channel: 'end', lost: true }])
})

t.test('the channels publish a run that is a root, and not one inside another scope', async (t) => {
  const heard = listenIn(t)
  await ctx.run({ tenant: 'acme', requestId: 'job-1' }, async () => {
    await ctx.run({ tenant: 'globex' }, async () => {})
  })
  t.throws(() => ctx.run({ requestId: 'job-2' }, () => { throw new Error('failed') }))
  t.same(heard.map(({ channel, requestId, route, tenant }) => ({ channel, requestId, route, tenant })), [
    { channel: 'open', requestId: 'job-1', route: undefined, tenant: 'acme' },
    { channel: 'end', requestId: 'job-1', route: undefined, tenant: 'acme' },
    { channel: 'open', requestId: 'job-2', route: undefined, tenant: undefined },
    { channel: 'end', requestId: 'job-2', route: undefined, tenant: undefined }
  ])
})

t.test('a root run in which the request of another context continues ends with that request, and is published once', async (t) => {
  const heard = listenIn(t)
  const other = createContext({})
  const app = Fastify()
  await app.register(ctx.plugin)
  app.addHook('onRequest', (_request, _reply, done) => { other.run({ requestId: 'job-1' }, done) })
  app.get('/', async () => other.get('requestId'))
  const { url } = await listen(t, app)
  t.equal(await (await fetch(url, { headers: { 'x-request-id': 'r-1' } })).text(), 'job-1')
  while (heard.length < 3) await turns()
  await turns(20)
  t.same(heard.map(({ channel, requestId }) => `${channel} ${requestId}`).sort(), ['end job-1', 'end r-1', 'open job-1', 'open r-1'])
})

t.test('such a run is published once, even if the client leaves and code continues after the end', async (t) => {
  const heard = listenIn(t)
  const other = createContext({})
  const [entered, ran] = [gate(), gate<string | undefined>()]
  const app = Fastify()
  await app.register(ctx.plugin)
  app.addHook('onRequest', (_request, _reply, done) => { other.run({ requestId: 'job-1' }, done) })
  app.get('/', async () => {
    const gone = once(ctx.signal, 'abort')
    entered.open()
    await gone
    setTimeout(() => {
      ctx.run({}, () => { ctx.onEnd(() => { ran.open(other.get('requestId')) }) })
    }, 50)
  })
  const { url } = await listen(t, app)
  const controller = new AbortController()
  const answer = fetch(url, { signal: controller.signal }).catch(() => {})
  await entered.promise
  controller.abort()
  await answer
  t.equal(await ran.promise, 'job-1')
  await turns(20)
  t.same(heard.map(({ channel, requestId, lost }) => [channel, requestId === 'job-1', lost]).sort(), [['end', false, true], ['end', true, false], ['open', false, false], ['open', true, false]])
})
