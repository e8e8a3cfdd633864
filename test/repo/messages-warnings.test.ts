// Causes every coded warning as a new user would: it names the cause and the way out, and is emitted once.
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { asyncLocalStorage } from '@fastify/request-context'
import Fastify, { type FastifyInstance } from 'fastify'
import { pino } from 'pino'
import t from 'tap'
import { createContext, key, type RequestIdOptions } from '../../lib/index.ts'
import { checkRequestContext, registerCopy } from '../../lib/scope/copies.ts'
import { gate, Lines, listen, turns, warnings, type Tap } from '../support/support.ts'

interface Case {
  /** Makes the mistake. */
  readonly program: (t: Tap) => unknown
  /** What the warning names. */
  readonly names: RegExp
  /** The way out in the message. */
  readonly out: RegExp
  /** The place, in the message or in the detail. */
  readonly place?: RegExp
  /** How often it is emitted if the mistake is made twice. Default: once. */
  readonly times?: number
}

const HERE = /messages-warnings\.test\.ts:\d+/

const SMTP_DOWN = new Error('the mail server is down')

const newContext = () => createContext({
  tenant: key<string>({ seed: () => 'acme' }),
  user: key<{ readonly account?: { readonly id: string } }>({ log: (user) => user.account!.id })
})

type Ctx = ReturnType<typeof newContext>

const CASES: Readonly<Record<string, Case>> = {
  FST_CTX_SECOND_COPY: {
    // The copy that this test loaded is the first. The second reports another file.
    program () { registerCopy('Error: loaded\n    at file:///app/node_modules/library/bundle.mjs:1:7') },
    names: /fastify-ctx is loaded twice, from \S*storage\.ts and from file:\/\/\/app\/node_modules\/library\/bundle\.mjs/,
    out: /install one version, and keep fastify-ctx out of the bundle of a library$/
  },
  FST_CTX_SECOND_REQUEST_CONTEXT: {
    program () { checkRequestContext({ '/app/node_modules/@fastify/request-context/index.js': { exports: { asyncLocalStorage: {} } } as NodeJS.Module }) },
    names: /@fastify\/request-context is loaded twice, from \/app\/node_modules\/@fastify\/request-context\/index\.js and from a bundle\./,
    out: /install @fastify\/request-context 7, so that there is one copy$/
  },
  FST_CTX_COPIED_STORE: {
    program () {
      const ctx = newContext()
      ctx.run({ tenant: 'acme' }, () => {
        const store: object = { ...asyncLocalStorage.getStore() }
        asyncLocalStorage.run(store as never, () => { ctx.get('tenant') })
      })
    },
    names: /a copy of a scope's store, which is not a scope/,
    out: /use ctx\.run\(values, fn\)/,
    place: HERE
  },
  FST_CTX_LATE_READ: {
    async program (t) {
      const [over, read] = [gate(), gate()]
      async function sendMail (ctx: Ctx): Promise<void> {
        await over.promise
        ctx.get('tenant')
        read.open()
      }
      await asked(t, newContext(), async (ctx) => { sendMail(ctx).catch(t.fail) })
      over.open()
      await read.promise
    },
    names: /'tenant' was read at .* after the scope of \/notes\/:id had ended, and is undefined/,
    out: /read it before, or start the work that needs it by ctx\.detach\(\)$/,
    place: HERE
  },
  FST_CTX_EARLY_READ: {
    async program (t) {
      const ctx = newContext()
      const authenticate = async (): Promise<void> => { ctx.get('tenant') }
      await asked(t, ctx, () => {}, (app) => { app.addHook('onRequest', authenticate) })
    },
    names: /'tenant' was read at .* in the hook 'authenticate', which runs before the scope opens, and is undefined/,
    out: /register fastify-ctx before that hook$/,
    place: HERE
  },
  FST_CTX_STILL_OPEN: {
    async program (t) {
      const over = gate()
      await asked(t, newContext(), (ctx) => { ctx.run({}, async function sendMail () { await over.promise }).catch(t.fail) })
      over.open()
    },
    names: /the request of \/notes\/:id ended while the function 'sendMail' of a ctx\.run was still running/,
    out: /await it, or start it by ctx\.detach\(\)$/
  },
  FST_CTX_LOG_MAPPER: {
    program: (t) => asked(t, newContext(), (ctx) => { ctx.set('user', {}); ctx.log.info('hello') }),
    names: /the log mapper of key 'user' threw/,
    out: /without the field/,
    place: HERE
  },
  FST_CTX_LOG_FIELD: {
    async program (t) {
      const ctx = createContext({ order: key<object>({ log: true }) })
      const logger = pino({ mixin: ctx.mixin, serializers: { order () { throw new Error('not an order') } } }, new Lines(t))
      ctx.run({ order: {} }, () => { logger.info('hello') })
    },
    names: /'order' could not be written/,
    out: /until it takes every value of the key$/,
    place: HERE
  },
  FST_CTX_REQUEST_ID: {
    program: (t) => asked(t, newContext(), () => {}, () => {}, { generate: (() => 42) as never }),
    names: /the generator of request ids returned an unsafe id/,
    out: /until it returns 1 to 128 visible ASCII characters$/
  },
  FST_CTX_ENVELOPE: {
    program: () => newContext().hydrate({ tenant: 'acme' }, () => {}),
    names: /ctx\.hydrate got an invalid envelope: it is not a string\. Its work runs in a scope without values/,
    out: /pass on the string from ctx\.dehydrate\(\) unchanged$/
  },
  FST_CTX_ENVELOPE_KEY: {
    async program () {
      const older = createContext({ plan: key<string>({ carry: true }) })
      await newContext().hydrate(older.run({ plan: 'free' }, () => older.dehydrate()), () => {})
    },
    names: /'plan'/,
    out: /give the key carry here/
  },
  FST_CTX_ENVELOPE_ID: {
    program: () => newContext().hydrate(JSON.stringify({ v: 1, requestId: '<canary>', values: {} }), () => {}),
    names: /a request id that requestId\.pattern does not allow/,
    out: /Sign envelopes \(envelope\.secrets\), or let the pattern allow the ids that you generate$/
  },
  FST_CTX_HEADER: {
    async program (t) {
      const app = Fastify()
      app.get('/', async () => 'ok')
      const { url } = await listen(t, app)
      const ctx = createContext({ user: key<object>({ header: 'x-user' }) }, { propagate: { [url]: ['user'] } })
      await ctx.run({ user: { name: 'canary' } }, async () => { await (await fetch(url)).text() })
    },
    names: /the value of 'user' was not sent in its header: it is not a string, number or boolean/,
    out: /give the key carry with a pack that returns one$/
  },
  FST_CTX_NOT_REPLACED: {
    async program () {
      const app = Fastify()
      app.inject = undefined as never
      await app.register(newContext().plugin)
      await app.close()
    },
    names: /inject of fastify cannot be replaced here, so this does not hold: code that runs before the scope of an injected request/,
    out: /Update fastify-ctx, or register it with reenter: false/
  },
  FST_CTX_BACKGROUND: {
    program: () => { newContext().detach(async function sendMail () { throw SMTP_DOWN }) },
    names: /detached work failed, and there is no logger/,
    out: /handle the error there, or give the application a logger$/,
    place: HERE,
    times: 2
  }
}

for (const [code, { program, names, out, place, times = 1 }] of Object.entries(CASES)) {
  t.test(`${code}: says what happened, names it, and the way out, ${times === 1 ? 'once' : 'each time'}`, async (t) => {
    const told = warnings(t, code)
    for (let i = 0; i < 2; i++) await program(t)
    while (told.length < times) await turns()
    await turns()
    t.equal(told.length, times)
    const { name, message, detail = '' } = told[0] as Error & { readonly detail?: string }
    t.equal(name, 'FastifyCtxWarning')
    t.match(message, names)
    t.match(message, out)
    t.notMatch(message, /\n|canary/, 'in one line that repeats no value')
    if (place !== undefined) t.match(`${message}\n${detail}`, place)
  })
}

t.test('each warning code in lib has its case', async (t) => {
  const lib = fileURLToPath(new URL('../../lib/', import.meta.url))
  const files = (readdirSync(lib, { recursive: true }) as string[]).filter((file) => file.endsWith('.ts'))
  const codes = files.flatMap((file) => [...readFileSync(`${lib}${file}`, 'utf8').matchAll(/warn(?:Once)?\('(FST_CTX_\w+)'/g)].map(([, code]) => code!))
  t.same(Object.keys(CASES).sort(), [...new Set(codes)].sort())
})

/** Two requests to a route of an application with the context. They have ended when they are answered. */
async function asked (t: Tap, ctx: Ctx, handler: (ctx: Ctx) => unknown, before: (app: FastifyInstance) => void = () => {}, requestId: RequestIdOptions = {}): Promise<void> {
  const app = Fastify({ logger: { stream: new Lines(t) } })
  before(app)
  await app.register(ctx.plugin, { requestId })
  app.get('/notes/:id', async () => { await handler(ctx); return 'ok' })
  const { url } = await listen(t, app)
  // A hook before the plugin is watched from the second request of its route on.
  for (let i = 0; i < 2; i++) await (await fetch(`${url}/notes/1`)).text()
  await turns()
}
