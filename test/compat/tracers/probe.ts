// One application as a tracer and Fastify see it: hooks of every kind, two concurrent tenants, callbacks that the other tenant's code resumes, errors,
// disconnects and time limits.
import { once } from 'node:events'
import net, { type AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance, FastifyReply, FastifyRequest, FastifyServerOptions, RouteOptions } from 'fastify'

/** Registers what is probed: a tracer, the plugin, or both in either order. */
export type Install = (app: FastifyInstance) => Promise<void>

/** Reads the current tenant. Missing for bare Fastify. */
export type Read = () => unknown

/** What the application saw. Everything except `reads` must be the same with and without the plugin. */
export interface Seen {
  /** By kind of hook: the arguments of its call. */
  readonly calls: Readonly<Record<string, readonly string[]>>
  /** By kind of hook: the number of its calls. */
  readonly counts: Readonly<Record<string, number>>
  /** The functions that others find by name. */
  readonly names: Readonly<Record<string, readonly string[]>>
  readonly answers: readonly string[]
  /** By place: the tenants whose code ran there, and what they read. */
  readonly reads: Readonly<Record<string, readonly string[]>>
}

type Hook = (...args: any[]) => unknown

export const TENANTS = ['acme', 'globex'] as const

const PHASES = ['onRequest', 'preParsing', 'preValidation', 'preHandler', 'preSerialization', 'onSend', 'onResponse'] as const
const WITH_PAYLOAD: readonly string[] = ['preParsing', 'preSerialization', 'onSend']
/** The kinds of hooks whose failure is answered. */
const FAILING = PHASES.slice(0, -1)
const ASIDE = ['onError', 'onTimeout', 'onRequestAbort'] as const

/** How long a slow hook takes, longer than the turn in which a request would end. */
const SLOW = 25

/** Milliseconds without traffic after which a connection of the second application times out. */
const TIME_LIMIT = 300

/**
 * @param factory `fastify`, or a tracer's version of it
 * @param at whether the hooks belong to the instance or to each route
 */
export async function probe (factory: (options: FastifyServerOptions) => FastifyInstance, install: Install, at: 'instance' | 'route', read?: Read): Promise<Seen> {
  const notes = new Notes(read)
  const last: Record<string, () => void> = {}
  const start = async (options: FastifyServerOptions, name: string): Promise<{ readonly app: FastifyInstance, readonly port: number }> => {
    const app = factory({ forceCloseConnections: true, ...options })
    await install(app)
    addHooksAndRoutes(app, at, notes, last, name)
    await app.listen({ port: 0, host: '127.0.0.1' })
    return { app, port: (app.server.address() as AddressInfo).port }
  }
  const { app, port } = await start({}, 'answers')
  const limited = await start({ connectionTimeout: TIME_LIMIT }, 'lost connections')
  try {
    const paths = ['/', ...FAILING.map((kind) => `/fails-in/${kind}`), '/fails', '/fails-with']
    const responses = times(2 * paths.length, (open) => { last.onResponse = open })
    const answers = await Promise.all(paths.flatMap((path) => TENANTS.map(async (tenant) => await ask(port, tenant, path))))
    await responses
    // Two clients disconnect while their handlers wait, and two stay until the time limit passes.
    for (const kinds of [['onRequestAbort'], ['onTimeout', 'onRequestAbort']]) {
      const leaves = kinds.length === 1
      const over = kinds.map(async (kind) => { await times(2, (open) => { last[kind] = open }) })
      await Promise.all(TENANTS.map(async (tenant) => { await leave(leaves ? port : limited.port, tenant, leaves ? notes : undefined) }))
      await Promise.all(over)
    }
    notes.names.printed = app.printRoutes({ includeHooks: true, method: 'POST' }).replaceAll(OWN_HOOK, '').split('\n')
    return notes.seen(answers)
  } finally {
    await Promise.all([app.close(), limited.app.close()])
  }
}

/** A hook of the plugin itself, as `printRoutes` shows it. */
const OWN_HOOK = /"(?:bound )?fastifyCtx\w*\(\)",?/g

function addHooksAndRoutes (app: FastifyInstance, at: 'instance' | 'route', notes: Notes, last: Record<string, () => void>, name: string): void {
  const resumeLater = pool()
  const kinds = [...PHASES, ...ASIDE]
  const hooksOf = (kind: string): Hook[] => makeHooks(app, kind, notes, last, resumeLater)
  if (at === 'instance') for (const kind of kinds) for (const hook of hooksOf(kind)) app.addHook(kind as 'onRequest', hook as never)
  const own = (): Partial<RouteOptions> => at === 'instance' ? {} : Object.fromEntries(kinds.map((kind) => [kind, hooksOf(kind)]))

  const routes: string[] = notes.names[name] = []
  app.addHook('onRoute', ({ url, handler }) => { routes.push(`${url} ${handler.name}`) })
  app.setErrorHandler(function answerError (error: Error, request, reply) {
    notes.see('error handler', request)
    reply.code(500).send({ message: error.message })
  })
  app.route({
    method: 'POST',
    url: '/',
    ...own(),
    schema: { body: { type: 'object' }, response: { 200: {} } },
    validatorCompiler: () => (body: { tenant: string }) => {
      notes.see('validator', { headers: { 'x-tenant': body.tenant } })
      return true
    },
    serializerCompiler: () => (body: { tenant: string }) => {
      notes.see('serializer', { headers: { 'x-tenant': body.tenant } })
      return JSON.stringify(body)
    },
    handler: async function saveOrder (request) {
      notes.see('handler', request)
      await sleep(1)
      notes.see('handler, later', request)
      notes.names.handler = [request.routeOptions.handler.name]
      return { tenant: request.headers['x-tenant'] }
    }
  })
  for (const kind of FAILING) app.route({ method: 'GET', url: `/fails-in/${kind}`, ...own(), handler: async () => ({ ok: true }) })
  app.route({ method: 'GET', url: '/fails', ...own(), handler: async () => { throw new Error('failed in the handler') } })
  app.route({ method: 'GET', url: '/fails-with', ...own(), handler: (_request, reply) => { reply.send(new Error('sent by the handler')) } })
  app.route({
    method: 'GET',
    url: '/waits',
    ...own(),
    handler: async (request) => {
      notes.entered[String(request.headers['x-tenant'])]?.()
      await new Promise(() => {})
    }
  })
}

/** Hooks of a kind: one whose callback the other tenant's code resumes, a slow one, and an async one. */
function makeHooks (app: FastifyInstance, kind: string, notes: Notes, last: Record<string, () => void>, resumeLater: ReturnType<typeof pool>): Hook[] {
  const proceed = (args: any[], error?: Error): void => { WITH_PAYLOAD.includes(kind) ? args.at(-1)(error ?? null, args[2]) : args.at(-1)(error) }
  const hooks: Record<string, Hook> = {
    [`${kind}Resumed`]: function (this: unknown, ...args: any[]) {
      notes.call(kind, this === app, args)
      notes.see(`${kind}, resumed`, args[0])
      const { url } = args[0] as FastifyRequest
      if (url === '/') resumeLater(kind, () => { proceed(args) })
      else proceed(args, url === `/fails-in/${kind}` ? new Error(`failed in ${kind}`) : undefined)
    },
    [`${kind}Slow`]: function (this: unknown, ...args: any[]) {
      notes.call(kind, this === app, args)
      notes.see(`${kind}, slow`, args[0])
      setTimeout(() => {
        notes.see(`${kind}, later`, args[0])
        proceed(args)
      }, SLOW)
    },
    // One parameter, because Fastify refuses an async onRequestAbort hook with another number.
    [`${kind}Last`]: async function (this: unknown, request: FastifyRequest, ...rest: any[]) {
      notes.call(kind, this === app, [request, ...rest])
      notes.see(`${kind}, last`, request)
      await sleep(SLOW)
      notes.see(`${kind}, at its end`, request)
      last[kind]?.()
    }
  }
  return Object.values(hooks)
}

class Notes {
  readonly #calls: Record<string, Set<string>> = {}
  readonly #counts: Record<string, number> = {}
  readonly #reads: Record<string, Set<string>> = {}
  readonly #read: Read | undefined
  /** The first arguments of a hook of each request. */
  readonly #known = new WeakMap<object, { readonly request: FastifyRequest, reply: FastifyReply | undefined }>()
  readonly names: Record<string, string[]> = {}
  /** Wakes the waiting handlers, by tenant. */
  readonly entered: Record<string, () => void> = {}

  constructor (read: Read | undefined) {
    this.#read = read
  }

  /** Records whose code runs at a place, and what it reads. */
  see (place: string, { headers }: Pick<FastifyRequest, 'headers'>): void {
    this.#counts[place] = (this.#counts[place] ?? 0) + 1
    if (this.#read !== undefined) (this.#reads[place] ??= new Set()).add(`${String(headers['x-tenant'])} reads ${String(this.#read())}`)
  }

  call (kind: string, isApp: boolean, args: unknown[]): void {
    const [request, second] = args as [FastifyRequest, FastifyReply?]
    const known = this.#known.get(request.raw) ?? { request, reply: undefined }
    this.#known.set(request.raw, known)
    if (kind !== 'onRequestAbort') known.reply ??= second
    const same = known.request === request && (kind === 'onRequestAbort' || known.reply === second)
    ;(this.#calls[kind] ??= new Set()).add(`${isApp ? 'app' : 'another'}: ${args.map(describe).join(', ')}${same ? '' : ', of another request'}`)
  }

  seen (answers: readonly string[]): Seen {
    return { calls: listed(this.#calls), counts: this.#counts, names: this.names, answers, reads: listed(this.#reads) }
  }
}

function listed (sets: Readonly<Record<string, ReadonlySet<string>>>): Record<string, string[]> {
  return Object.fromEntries(Object.entries(sets).map(([name, set]) => [name, [...set].sort()]))
}

async function ask (port: number, tenant: string, path: string): Promise<string> {
  const headers = { 'x-tenant': tenant, connection: 'close' }
  const post = path === '/' ? { method: 'POST', body: JSON.stringify({ tenant }), headers: { ...headers, 'content-type': 'application/json' } } : { headers }
  const response = await fetch(`http://127.0.0.1:${port}${path}`, post)
  return `${response.status} ${await response.text()}`
}

/** Sends a request to a handler that waits, and disconnects when it does. Without notes, stays until the server closes the connection. */
async function leave (port: number, tenant: string, notes: Notes | undefined): Promise<void> {
  const socket = net.connect(port, '127.0.0.1')
  socket.on('error', () => {})
  const waiting = notes === undefined ? once(socket, 'close') : new Promise<void>((resolve) => { notes.entered[tenant] = resolve })
  socket.write(`GET /waits HTTP/1.1\r\nhost: localhost\r\nx-tenant: ${tenant}\r\n\r\n`)
  await waiting
  socket.destroy()
}

/** The places where a tenant did not read its own value. */
export function crossings ({ reads }: Seen): string[] {
  return Object.entries(reads).flatMap(([place, pairs]) => pairs.filter((pair) => !TENANTS.some((tenant) => pair === `${tenant} reads ${tenant}`)).map((pair) => `${place}: ${pair}`))
}

/** Waits until the returned function was called this many times. */
async function times (missing: number, hand: (call: () => void) => void): Promise<void> {
  await new Promise<void>((resolve) => { hand(() => { if (--missing === 0) resolve() }) })
}

/** Waits for the callbacks of two requests, and calls both in the code of the second. */
function pool (): (kind: string, callback: () => void) => void {
  const waiting: Record<string, Array<() => void>> = {}
  return (kind, callback) => {
    const list = waiting[kind] ??= []
    list.push(callback)
    if (list.length === 2) for (const resume of list.splice(0)) resume()
  }
}

function describe (value: any): string {
  if (typeof value === 'function') return `function of ${value.length}`
  if (value instanceof Error) return `error '${value.message}'`
  if (value?.request?.raw !== undefined) return 'reply'
  if (value?.routeOptions !== undefined) return 'request'
  if (typeof value?.pipe === 'function') return 'stream'
  return typeof value
}
