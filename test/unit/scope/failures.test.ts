import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import pino from 'pino'
import t from 'tap'
import { createContext, key } from '../../../lib/index.ts'
import { Lines, listen } from '../../support/support.ts'

const ctx = createContext({ tenant: key<string>({ log: true, seed: () => 'acme' }), user: key<string>({ log: true }) })
const around = createContext({ region: key<string>({ log: true, seed: () => 'eu' }) })

const nothing: unknown = null
const fail = (message: string) => async (): Promise<never> => { await sleep(5); throw new Error(message) }
const globex = { tenant: 'globex', reqId: 'id-1' }
const audited = { ...globex, actor: { tenant: 'acme' }, reason: 'ticket 4711' }

t.test('on sockets: the log line of an error has the fields of the scope that threw it', async (t) => {
  const lines = new Lines(t)
  const app = Fastify({ logger: { stream: lines } })
  await app.register(around.plugin)
  await app.register(ctx.plugin)
  const asGlobex = <R>(fn: () => R): R => ctx.impersonate({ tenant: 'globex' }, { reason: 'ticket 4711' }, fn)
  app.get('/rejects', () => asGlobex(fail('rejects')))
  app.get('/throws', () => asGlobex(() => { throw new Error('throws') }))
  app.get('/run', () => ctx.run({ tenant: 'globex' }, fail('run')))
  app.get('/nested', () => ctx.run({ user: 'ada' }, () => asGlobex(fail('nested'))))
  app.get('/later', async () => { try { await asGlobex(fail('later')) } catch (error) { ctx.log.error(error); app.log.warn({ err: error }, 'by the application'); throw error } })
  app.get('/hydrate', async () => ctx.hydrate(ctx.run({ tenant: 'initech' }, () => ctx.dehydrate()), fail('hydrate')))
  app.get('/other', () => ctx.run({ tenant: 'globex' }, () => around.run({ region: 'us' }, fail('other'))))
  app.get('/nothing', () => asGlobex(() => Promise.reject(nothing)))
  app.get('/plain', async () => { throw new Error('plain') })
  app.register(async (own) => {
    own.setErrorHandler((error: Error, request, reply) => { request.log.error(error, 'handled'); reply.code(500).send(error.message) })
    own.get('/handled', () => asGlobex(fail('handled')))
  })
  const { url } = await listen(t, app)
  const get = async (path: string): Promise<number> => (await fetch(url + path, { headers: { 'x-request-id': 'id-1', connection: 'close' } })).status

  for (const path of ['rejects', 'throws', 'nested']) {
    t.equal(await get(`/${path}`), 500)
    t.match(lines.one(path), { ...audited, region: 'eu', err: { message: path } }, path)
  }
  t.equal(lines.one('nested').user, 'ada')
  await get('/run')
  t.match(lines.one('run'), { ...globex, actor: undefined })
  await get('/later')
  for (const line of [...lines.all('later'), lines.one('by the application')]) t.match(line, audited)
  t.equal(lines.all('later').length, 2)
  await get('/handled')
  t.match(lines.one('handled'), audited)
  await get('/other')
  t.match(lines.one('other'), { ...globex, region: 'us' })
  for (const path of ['plain', 'hydrate']) {
    await get(`/${path}`)
    t.match(lines.one(path), { tenant: 'acme', reqId: 'id-1', reason: undefined }, `${path}: its own fields`)
  }
  await get('/nothing')
  t.match(lines.all().filter(({ level }) => level >= 40).at(-1), { tenant: 'acme' })
})

t.test('outside any request: jobs, hydrated work and any other pino logger', async (t) => {
  const [lines, mixed] = [new Lines(t), new Lines(t)]
  const app = Fastify({ logger: { stream: lines } })
  await app.register(ctx.plugin)
  await app.ready()
  t.teardown(() => app.close())
  const logger = pino({ mixin: ctx.mixin }, mixed)
  const envelope = ctx.run({ requestId: 'job-1' }, () => ctx.dehydrate())
  const carried = createContext({ tenant: key<string>({ log: true }) })
  for (const [message, work] of Object.entries({
    run: () => ctx.run({ tenant: 'globex', requestId: 'job-1' }, fail('run')),
    hydrate: () => ctx.hydrate(envelope, () => ctx.run({ tenant: 'globex' }, fail('hydrate')))
  })) {
    const error = await work().catch((error: unknown) => error)
    app.log.error(error)
    logger.error(error)
    t.match(lines.one(message), { tenant: 'globex', reqId: 'job-1' })
    t.match(mixed.one(message), { tenant: 'globex', reqId: 'job-1' })
    carried.run({ tenant: 'other context' }, () => { pino({ mixin: carried.mixin }, mixed).error({ err: error }, `${message} elsewhere`) })
    t.equal(mixed.one(`${message} elsewhere`).tenant, 'other context')
  }
  app.log.error('no error')
  t.equal(lines.one('no error').tenant, undefined)
})

t.test('one error object thrown by several scopes: a line has the fields of its own request and of the last scope that threw', async (t) => {
  const lines = new Lines(t)
  const app = Fastify({ logger: { stream: lines } })
  await app.register(ctx.plugin)
  const shared = new Error('shared')
  app.addHook('onRequest', async (request) => { ctx.set('tenant', request.headers['x-tenant'] as string) })
  app.get('/inner', () => ctx.run({ user: 'ada' }, async () => { throw shared }))
  app.get('/outer', async () => { throw shared })
  app.get('/twice', async () => {
    for (const user of ['one', 'two']) {
      try { ctx.run({ user }, () => { throw shared }) } catch (error) { ctx.log.error(error, user) }
    }
  })
  const { url } = await listen(t, app)
  const get = async (path: string, tenant: string): Promise<unknown> => (await fetch(url + path, { headers: { 'x-tenant': tenant, connection: 'close' } })).text()
  await get('/inner', 'acme')
  await get('/outer', 'globex')
  await get('/inner', 'initech')
  await get('/twice', 'umbrella')
  t.same(lines.all('shared').map(({ tenant, user }) => [tenant, user]), [['acme', 'ada'], ['globex', undefined], ['initech', 'ada']])
  t.same([lines.one('one').user, lines.one('two').user], ['one', 'two'])
})

t.test('an unhandled rejection is reported in the scope of run, impersonate and hydrate', async (t) => {
  const before = process.listeners('unhandledRejection')
  process.removeAllListeners('unhandledRejection')
  const seen: unknown[] = []
  process.on('unhandledRejection', (error: Error) => { seen.push([error.message, ctx.get('tenant'), ctx.actor('tenant')]) })
  t.teardown(() => {
    process.removeAllListeners('unhandledRejection')
    for (const listener of before) process.on('unhandledRejection', listener)
  })
  ctx.run({ tenant: 'acme' }, () => {
    ctx.run({ tenant: 'globex' }, fail('run')) as unknown
    ctx.impersonate({ tenant: 'globex' }, { reason: 'ticket' }, fail('impersonate')) as unknown
    ctx.hydrate(ctx.dehydrate(), async () => { ctx.set('tenant', 'globex'); throw new Error('hydrate') }) as unknown
  })
  while (seen.length < 3) await once(process, 'unhandledRejection').then(() => {}, () => {})
  t.same(new Set(seen), new Set([['run', 'globex', 'globex'], ['impersonate', 'globex', 'acme'], ['hydrate', 'globex', 'globex']]))
  t.equal(ctx.get('tenant'), undefined)
})
