// Causes every coded error as a new user would: the message must name the cause and the way out, and lead to the user's own line.
import { STATUS_CODES } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import requestContextPlugin from '@fastify/request-context'
import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import { z } from 'zod'
import * as errors from '../../lib/common/errors.ts'
import context, { createContext, ctx as readyMade, key } from '../../lib/index.ts'
import inspect from '../../lib/inspect.ts'
import { gate, listen, turns, type Tap } from '../support/support.ts'

interface Coded extends Error { readonly code: string, readonly statusCode: number }

interface Case {
  /** Fails with the error. */
  readonly program: (t: Tap) => unknown
  /** What the message names. */
  readonly names: RegExp
  /** The way out in the message. `undefined` if there is none: the reasons of signals. */
  readonly out: RegExp | undefined
  /** Default 500: the fault of the program, not of the client. */
  readonly status?: number
  /** Whether the stack has no line of the user, because the call returned long ago or the client gets the error. */
  readonly elsewhere?: true
}

/** A value from a client, and from a secret cause. No response may repeat it. */
const CANARY = 'canary 4711'

const SECRETS = ['0123456789abcdef0123456789abcdef']

const newContext = () => createContext({
  tenant: key<string>({ seed: (request) => request.headers['x-tenant'], locked: true }),
  user: key<object>({ carry: true, missing: 401 }),
  order: key<string>({ carry: { pack: () => { throw new Error(CANARY) }, unpack: () => { throw new Error(CANARY) } } })
}, { envelope: { maxBytes: 256 } })

type Ctx = ReturnType<typeof newContext>

const CASES: Readonly<Record<keyof typeof errors, Case>> = {
  FST_CTX_INVALID_KEY: { program: () => createContext({ log: key<string>() } as never), names: /'log'/, out: /request\.ctx has a member of this name: choose another$/ },
  FST_CTX_UNKNOWN_KEY: { program: () => newContext().run({ tennant: 'acme' } as never, () => {}), names: /'tennant'/, out: /declare it in createContext\(\)/ },
  FST_CTX_INVALID_OPTION: { program: () => createContext({ tenant: key<string>({ seeed: () => 'acme' } as never) }), names: /'keys\.tenant\.seeed'/, out: /does not exist: .* takes schema, seed, log, carry, header, locked, detach, missing$/ },
  FST_CTX_INVALID_ARGUMENT: { program: () => newContext().detach(sleep(0) as never), names: /^ctx\.detach takes /, out: /a function that starts the work, not its promise$/ },
  FST_CTX_ALREADY_REGISTERED: {
    async program () {
      const { plugin } = newContext()
      await Fastify().register(plugin).register(plugin, { requestId: { header: 'x-id' } })
    },
    names: /this context is already registered here with another 'requestId' \(/,
    out: /register it once, or make a second context with createContext\(\)/,
    elsewhere: true
  },
  FST_CTX_ALREADY_CONFIGURED: {
    program () {
      const { configure } = newContext()
      configure({})
      configure({})
    },
    names: /^ctx\.configure\(\) was refused, because it was called before:/,
    out: /call it once, before the context is registered and before it opens a scope$/
  },
  FST_CTX_NOT_CONFIGURED: {
    program: () => { const ctx = createContext({}, { envelope: 'late' }); ctx.run({}, () => ctx.dehydrate()) },
    names: /^option 'envelope' is 'late' and has not been given yet/,
    out: /give it to app\.register\(ctx\.plugin, options\) or to ctx\.configure\(options\) before the context is used$/
  },
  FST_CTX_DECORATED: {
    program: async () => { await Fastify().decorateRequest('ctx', null as never).register(newContext().plugin) },
    names: /'ctx'/,
    out: /rename that decorator/,
    elsewhere: true
  },
  FST_CTX_REQUEST_CONTEXT_REGISTERED: {
    program: async () => { await Fastify().register(requestContextPlugin).register(newContext().plugin) },
    names: /@fastify\/request-context/,
    out: /remove its registration/,
    elsewhere: true
  },
  FST_CTX_REQUEST_ID_HEADER: {
    program: async () => { await Fastify({ requestIdHeader: 'x-id' }).register(newContext().plugin) },
    names: /'requestIdHeader' accepts the header 'x-id'/,
    out: /remove it, and register fastify-ctx with \{ requestId: \{ header: 'x-id' \} \}/,
    elsewhere: true
  },
  FST_CTX_NO_SCOPE: { program: () => { newContext().set('tenant', 'acme') }, names: /'tenant' was used where no scope of this context is open/, out: /use it in a request, .* or in ctx\.run\(values, fn\)/ },
  FST_CTX_ENDED: {
    async program (t) {
      const [over, failed, ctx] = [gate(), gate<unknown>(), newContext()]
      const sendMail = async (): Promise<void> => {
        await over.promise
        ctx.require('tenant')
      }
      const { url } = await served(t, ctx, (app) => { app.get('/', async () => { sendMail().catch(failed.open); return 'ok' }) })
      await (await fetch(url, { headers: { 'x-tenant': CANARY } })).text()
      await turns()
      over.open()
      throw await failed.promise
    },
    names: /'tenant'/,
    out: /use it before, await the work that needs it, or start that work with ctx\.detach\(\)/
  },
  FST_CTX_IMPERSONATION_REFUSED: {
    program () {
      const ctx = createContext({ tenant: key<string>() }, { onImpersonate: () => { throw new Error(CANARY) } })
      ctx.run({}, () => ctx.impersonate({ tenant: CANARY }, { reason: 'ticket' }, () => {}))
    },
    names: /onImpersonate refused this impersonation: it threw/,
    out: /It allows one by returning nothing, or true$/,
    status: 403
  },
  FST_CTX_NOT_SET: { program: (t) => answered(t, (ctx) => ctx.require('user')), names: /'user'/, out: /give the key a seed, or set it before/ },
  FST_CTX_REQUEST_ID_FIXED: { program: (t) => answered(t, (ctx) => { ctx.set('requestId' as never, CANARY as never) }), names: /'requestId'/, out: /leave it out, or .* inherit: false.* messageId \}\)$/ },
  FST_CTX_REST_REFUSED: {
    program: (t) => answered(t, (ctx) => { ctx.impersonate({ tenant: CANARY }, { reason: 'ticket 4711', rest: true }) }),
    names: /for the rest of the request, because the handler has begun/,
    out: /call it in a hook before the handler and outside of ctx\.run, or give ctx\.impersonate\(\) a function$/
  },
  FST_CTX_SEED_FAILED: {
    // eslint-disable-next-line prefer-promise-reject-errors -- the test covers a seed that rejects with a non-error
    program: (t) => answered(t, () => {}, createContext({ tenant: key<string>({ seed: () => Promise.reject() }) }) as never),
    names: /the seed of key 'tenant'/,
    out: /threw or rejected without an error: throw an Error, optionally with a statusCode for the response$/,
    elsewhere: true
  },
  FST_CTX_INVALID_VALUE: {
    program: () => { createContext({ tenant: key({ schema: z.uuid() }) }).run({ tenant: CANARY }, () => {}) },
    names: /'tenant' does not match its schema/,
    out: /error\.issues says why$/
  },
  FST_CTX_ASYNC_SCHEMA: {
    program: () => { createContext({ tenant: key({ schema: z.string().refine(async () => true) }) }).run({ tenant: CANARY }, () => {}) },
    names: /schema of 'tenant' validates asynchronously/,
    out: /use a schema without async checks$/
  },
  FST_CTX_LOCKED: { program: (t) => answered(t, (ctx) => { ctx.set('tenant', 'globex') }), names: /'tenant'/, out: /set it once, or act as somebody else with ctx\.impersonate\(\)/ },
  // For the client, which gets no internals of the program.
  FST_CTX_MISSING: { program: (t) => answered(t, () => {}, newContext(), ['user']), names: /'user'/, out: /is required$/, status: 401, elsewhere: true },
  FST_CTX_CLIENT_GONE: {
    async program (t) {
      const [reached, failed, ctx, leaving] = [gate(), gate<Error>(), newContext(), new AbortController()]
      const { url } = await served(t, ctx, (app) => {
        app.get('/', async () => {
          reached.open()
          await sleep(60_000, undefined, { signal: ctx.signal }).catch(failed.open)
        })
      })
      const answer = fetch(url, { signal: leaving.signal })
      await reached.promise
      leaving.abort()
      await t.rejects(answer)
      throw (await failed.promise).cause
    },
    names: /the client/,
    out: undefined,
    status: 499,
    elsewhere: true
  },
  FST_CTX_DEADLINE: {
    async program () {
      const ctx = newContext()
      const error = await ctx.run({}, () => sleep(60_000, undefined, { signal: ctx.signal }), { timeout: 1 }).catch((error: Error) => error)
      throw (error as Error).cause
    },
    names: /the deadline of this scope/,
    out: undefined,
    status: 504,
    elsewhere: true
  },
  FST_CTX_NOT_CARRIABLE: { program: (t) => answered(t, (ctx) => { ctx.set('order', CANARY); ctx.dehydrate() }), names: /'order' cannot be carried: its pack threw/, out: /Give the key carry: \{ pack, unpack \}/ },
  FST_CTX_ENVELOPE_TOO_LARGE: {
    program: (t) => answered(t, (ctx) => { ctx.set('user', { name: CANARY.repeat(50) }); ctx.dehydrate() }),
    names: /\(limit 256\)\. Largest keys: 'user' \(\d+ bytes\)/,
    out: /with pack and unpack, or raise envelope\.maxBytes on both sides$/
  },
  FST_CTX_ENVELOPE_REFUSED: {
    program: (t) => answered(t, (ctx, given) => ctx.hydrate(given, () => {}), createContext({}, { envelope: { secrets: SECRETS } }) as never),
    names: /the envelope was refused, because it has no valid signature/,
    out: /pass on the string from ctx\.dehydrate\(\) unchanged, with the same envelope\.secrets on both sides/,
    status: 400
  },
  FST_CTX_UNPACK_FAILED: {
    program: (t) => answered(t, (ctx) => ctx.hydrate(JSON.stringify({ v: 1, requestId: 'r-1', values: { order: CANARY } }), () => {})),
    names: /unpack\(\) of key 'order' failed/,
    out: /fix its cause and try again, or return undefined/
  },
  FST_CTX_INSPECT_UNGUARDED: {
    program: async () => { await Fastify().register(newContext().plugin).register(inspect, { path: '/_ctx' }) },
    names: /to everybody at '\/_ctx'/,
    out: /give it a preHandler that refuses strangers/,
    elsewhere: true
  },
  FST_CTX_INSPECT_NO_CONTEXT: {
    program: async () => { await Fastify().register(inspect, { unsafe: true }) },
    names: /no context is registered here/,
    out: /register fastify-ctx before it/,
    elsewhere: true
  }
}

for (const [code, { program, names, out, status = 500, elsewhere = false }] of Object.entries(CASES)) {
  t.test(`${code}: says what failed, names it, and the way out`, async (t) => {
    const error = await Promise.resolve().then(() => program(t)).then(() => t.fail('it fails'), (error: unknown) => error) as Coded
    t.match({ ...error, code: error.code }, { code, statusCode: status })
    t.match(error.message, names)
    if (out !== undefined) t.match(error.message, out)
    t.notMatch(error.message, /\n|canary/, 'in one line that repeats nothing from outside')
    if (!elsewhere) t.match(firstForeign(error), /messages\.test\.ts/, 'the stack leads to the line of the user')
  })
}

t.test('an unknown name is refused where the options are read, and the message lists the known ones', async (t) => {
  for (const [program, message] of [
    [() => createContext({}, { requestId: {} } as never), /'requestId' does not exist: .*envelope, propagate, trace, diagnostics, onImpersonate, cacheMax, and register takes requestId/],
    [() => createContext({}, { envelope: { secret: SECRETS[0]! } } as never), /'envelope\.secret' does not exist: envelope takes maxBytes, secrets, ttl$/],
    [async () => { await Fastify().register(context, { key: {} } as never) }, /'key' does not exist: register takes requestId, closeTimeout, reenter, envelope, propagate, trace, diagnostics, onImpersonate, cacheMax, and .* keys$/],
    [async () => { await Fastify().register(context, { requestId: { headers: 'x-id' } } as never) }, /'requestId\.headers' does not exist: requestId takes header, pattern, generate, responseHeader$/]
  ] as const) {
    await t.rejects(async () => await program(), { code: 'FST_CTX_INVALID_OPTION', message })
  }
  t.same(readyMade.policy(), [], 'and nothing is registered')
})

t.test('each code of lib/common/errors.ts has its case', async (t) => {
  t.same(Object.keys(CASES).sort(), Object.keys(errors).sort())
})

async function served (t: Tap, { plugin }: Ctx, add: (app: FastifyInstance) => void): Promise<{ readonly url: string }> {
  const app = Fastify()
  await app.register(plugin)
  add(app)
  return await listen(t, app)
}

/** The error of a handler, after checking that Fastify's response contains only the code and the message. */
async function answered (t: Tap, handler: (ctx: Ctx, given: unknown) => unknown, ctx: Ctx = newContext(), require: string[] = []): Promise<never> {
  const failed = gate<Coded>()
  const { url } = await served(t, ctx, (app) => {
    app.addHook('onError', async (_request, _reply, error) => { failed.open(error as Coded) })
    app.get('/', { config: { context: { require: require as never } } }, async (request) => { await handler(ctx, request.headers['x-tenant']) })
  })
  const answer = await fetch(url, { headers: { 'x-tenant': CANARY } })
  const { code, message, statusCode } = await failed.promise
  t.equal(answer.status, statusCode)
  t.same(await answer.json(), { statusCode, code, error: STATUS_CODES[statusCode], message })
  throw await failed.promise
}

/** The first line of a stack outside libraries, ours included. */
function firstForeign ({ stack = '' }: Error): string | undefined {
  return stack.split('\n').find((line) => line.startsWith('    at ') && !/\/lib\/|node:|node_modules/.test(line))
}
