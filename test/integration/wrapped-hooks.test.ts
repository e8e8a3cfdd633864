// How tracers wrap hooks, and which properties of a request they and others read: nothing of ours may be visible there.
import { EventEmitter } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { createContext, key } from '../../lib/index.ts'
import { listen } from '../support/support.ts'

type Hook = (...args: any[]) => unknown

const KINDS = ['onRequest', 'preParsing', 'preValidation', 'preHandler', 'preSerialization', 'onSend', 'onResponse'] as const

t.test('callback hooks in wrappers of length 0, resumed by another request\'s code, never see another request\'s tenant', async (t) => {
  const ctx = createContext({ tenant: key<string>({ seed: (request) => request.headers['x-tenant-id'] as string }) })
  const app = Fastify()
  await app.register(ctx.plugin)
  const seen: Array<readonly [kind: string, own: unknown, read: unknown]> = []
  const counts: Record<string, Set<number>> = {}
  const waiting: Record<string, Hook[]> = {}
  for (const kind of KINDS) {
    // The second of two requests resumes the first, so each hook is called back in the store of the second.
    const hook: Hook = (...args) => {
      (counts[kind] ??= new Set()).add(args.length)
      const own = args[0].headers['x-tenant-id']
      const look = (): void => { seen.push([kind, own, ctx.get('tenant')]) }
      const done = args.at(-1) as Hook
      const list = waiting[kind] ??= []
      look()
      list.push(() => { args.length === 4 ? done(null, args[2]) : done() })
      if (list.length === 2) for (const resume of list.splice(0)) resume()
    }
    app.addHook(kind as 'onRequest', ((...args: unknown[]) => hook(...args)) as never)
    app.addHook(kind as 'onRequest', (async (request: { headers: Record<string, string> }) => { seen.push([kind, request.headers['x-tenant-id'], ctx.get('tenant')]) }) as never)
  }
  app.post('/', async (request) => {
    await sleep(1)
    seen.push(['handler', request.headers['x-tenant-id'], ctx.get('tenant')])
    return { tenant: ctx.get('tenant') }
  })
  const { url } = await listen(t, app)
  const answers = await Promise.all(['acme', 'globex'].map(async (tenant) => {
    const answer = await fetch(url, { method: 'POST', body: '{}', headers: { 'content-type': 'application/json', 'x-tenant-id': tenant } })
    return await answer.json()
  }))
  t.same(answers, [{ tenant: 'acme' }, { tenant: 'globex' }])
  await sleep(50)
  t.equal(seen.length, 2 * (2 * KINDS.length + 1))
  t.same(seen.filter(([, own, read]) => own !== read), [])
  for (const kind of KINDS) t.same([...counts[kind]!], [kind === 'preParsing' || kind === 'preSerialization' || kind === 'onSend' ? 4 : 3], `${kind} gets the arguments of Fastify`)
})

t.test('names, copies and printed requests are the same as without the plugin', async (t) => {
  const ctx = createContext({ tenant: key<string>({ seed: () => 'hush-hush' }) })
  const bare = await look(t, async () => {})
  t.same(await look(t, async (app) => { await app.register(ctx.plugin) }), bare)
  t.same(bare, [{ handler: 'bound listUsers', shows: null }, { handler: 'bound listUsers', shows: null }, 2, ['measure()', 'authenticate()', 'sign()']])
})

/** The properties of requests and routes that an application reads. */
async function look (t: Test, prepare: (app: FastifyInstance) => Promise<void>): Promise<unknown[]> {
  const app = Fastify()
  app.addHook('onRequest', async function measure () {})
  await prepare(app)
  app.addHook('preHandler', async function authenticate () {})
  app.addHook('onSend', async function sign () {})
  let heard = 0
  app.get('/', async function listUsers (request, reply) {
    const copy: Record<string, unknown> = {}
    for (const name in request.raw) copy[name] = (request.raw as object as Record<string, unknown>)[name]
    const emitter = copy as object as EventEmitter
    emitter.on('hello', () => { heard++ })
    emitter.emit('hello')
    const printed = inspect(request.raw, { depth: 6, showHidden: true }) + inspect(reply.raw, { depth: 6, showHidden: true })
    return { handler: request.routeOptions.handler.name, shows: /hush-hush|fastify-ctx|RequestLifetime/.exec(printed)?.[0] ?? null }
  })
  const { url } = await listen(t, app)
  const answers = [await (await fetch(url)).json(), await (await fetch(url)).json()]
  const printed = app.printRoutes({ includeHooks: true })
  t.notMatch(printed, /inScope|anonymous/)
  return [...answers, heard, ['measure()', 'authenticate()', 'sign()'].filter((name) => printed.includes(name))]
}
