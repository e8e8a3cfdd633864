// The real implementation: a server on a socket, whose handlers perform one order after another.
import diagnostics from 'node:diagnostics_channel'
import { Agent, get as send } from 'node:http'
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import { createContext, key } from '../../../lib/index.ts'
import { listen, type Tap } from '../../support/support.ts'
import { KEYS, LOCKED, UNDETACHED, type Key, type Seen } from './model.ts'

const newContext = () => createContext({
  tenant: key<string>({ seed: ({ headers }) => headers['x-tenant'] as string | undefined, log: true, locked: LOCKED === 'tenant' }),
  user: key<string>({ log: true }),
  note: key<string>(),
  connection: key<string>({ detach: UNDETACHED !== 'connection' })
}, { diagnostics: false })

/** The calls that programs use. A mutant replaces some of them. */
export type Subject = Pick<ReturnType<typeof newContext>, 'get' | 'actor' | 'set' | 'run' | 'impersonate' | 'detach' | 'after' | 'onEnd' | 'fields'> & { readonly signal: AbortSignal }
export type Mutate = (ctx: ReturnType<typeof newContext>) => Partial<Subject>

/** How a hook opens a scope around the rest of a request. */
export const AROUND = ['none', 'run', 'impersonate', 'rest'] as const
export type Around = typeof AROUND[number]

type Order =
  | { readonly kind: 'call', readonly fn: () => unknown }
  | { readonly kind: 'nest', readonly open: (body: () => Promise<void>) => unknown }
  | { readonly kind: 'leave', readonly error: Error | undefined }
type Ack = (outcome: unknown) => void

/** Code that waits for orders, started anywhere. */
class Thread {
  #orders: Array<readonly [Order, Ack]> = []
  #wake: (() => void) | undefined
  #left: Ack = () => {}
  #thrown: Error | undefined
  #depth = 0

  order (order: Order): Promise<unknown> {
    return new Promise((resolve) => {
      this.#orders.push([order, resolve])
      this.#wake?.()
    })
  }

  /** Performs orders until one returns from this function. */
  async work (): Promise<void> {
    for (;;) {
      while (this.#orders.length === 0) await new Promise<void>((resolve) => { this.#wake = resolve })
      const [order, ack] = this.#orders.shift()!
      if (order.kind === 'call') ack(outcomeOf(order.fn))
      else if (order.kind === 'nest') await this.#nest(order.open, ack)
      else {
        this.#left = ack
        this.#thrown = order.error
        if (this.#depth === 0) ack('left')
        if (order.error !== undefined) throw order.error
        return
      }
    }
  }

  async #nest (open: (body: () => Promise<void>) => unknown, ack: Ack): Promise<void> {
    const { depth } = { depth: this.#depth }
    try {
      await open(() => {
        this.#depth = depth + 1
        ack('in')
        return this.work()
      })
      this.#depth = depth
      this.#left('left')
    } catch (error) {
      const refused = this.#depth === depth
      this.#depth = depth
      if (refused) ack(codeOf(error))
      else this.#left(error === this.#thrown ? 'left' : error)
    }
  }
}

function outcomeOf (fn: () => unknown): unknown {
  try {
    return fn()
  } catch (error) {
    return codeOf(error)
  }
}

function codeOf (error: unknown): string {
  return (error as { code?: string }).code ?? String(error)
}

/** One server for many programs, one after another. */
export class World {
  readonly subject: Subject
  readonly threads = new Map<string, Thread>()
  readonly ended = new Set<string>()
  /** What callbacks of onEnd saw, in the order in which they ran. */
  readonly ran: Array<readonly [name: string, seen: Seen]> = []
  /** What hooks after the handler saw. */
  readonly hooks: Array<readonly [requestId: string, hook: string, seen: Seen]> = []
  #url = ''
  #agent = new Agent({ keepAlive: true })
  #clients = new Map<string, ReturnType<typeof send>>()
  #answered = new Set<string>()

  static async start (t: Tap, mutate: Mutate = () => ({})): Promise<World> {
    const ctx = newContext()
    const world = new World(ctx, mutate)
    const app = Fastify({ logger: { stream: { write () {} } } })
    await app.register(ctx.plugin, { closeTimeout: 500 })
    app.addHook('preHandler', (request, _reply, done) => {
      const around = request.headers['x-around'] as Around
      if (around === 'run') return world.subject.run({ note: 'around' }, done)
      if (around === 'impersonate') return world.subject.impersonate({ user: 'around' }, { reason: 'around' }, done)
      done()
    })
    app.addHook('preHandler', async (request) => {
      if (request.headers['x-around'] === 'rest') ctx.impersonate({ user: 'around' }, { reason: 'around', rest: true })
    })
    for (const hook of ['onSend', 'onResponse', 'onError', 'onRequestAbort']) {
      app.addHook(hook as 'onSend', async ({ id }) => { world.hooks.push([id, hook, world.look()]) })
    }
    app.get('/:name', async (request) => {
      await world.begin((request.params as { name: string }).name)
      return 'ok'
    })
    const ends = (message: unknown): void => { world.ended.add((message as { requestId: string }).requestId) }
    diagnostics.subscribe('fastify-ctx:end', ends)
    t.teardown(() => {
      diagnostics.unsubscribe('fastify-ctx:end', ends)
      world.#agent.destroy()
    })
    world.#url = (await listen(t, app)).url
    return world
  }

  private constructor (ctx: ReturnType<typeof newContext>, mutate: Mutate) {
    const mutant = mutate(ctx)
    this.subject = new Proxy(ctx, {
      get (_target, name) {
        const member: unknown = Reflect.get(name in mutant ? mutant : ctx, name)
        return typeof member === 'function' ? member.bind(ctx) : member
      }
    })
  }

  #count = 0

  /** A request id that no other program has. */
  newId (): string {
    return `r-${this.#count++}`
  }

  /** Clears the state of the previous program. */
  reset (): void {
    this.threads.clear()
    this.ran.length = 0
    this.hooks.length = 0
  }

  /** Ends everything that a failed program left running. */
  release (): void {
    for (const thread of this.threads.values()) for (let i = 0; i < 8; i++) thread.order({ kind: 'leave', error: undefined }).catch(() => {})
  }

  /** Starts a thread in the current scope. */
  begin (name: string): Promise<void> {
    const thread = new Thread()
    this.threads.set(name, thread)
    return thread.work()
  }

  async request (name: string, id: string, tenant: string, around: Around): Promise<void> {
    const client = send(`${this.#url}/${name}`, { agent: this.#agent, headers: { 'x-request-id': id, 'x-tenant': tenant, 'x-around': around } }, (response) => {
      response.resume()
      response.on('end', () => { this.#answered.add(id) })
    })
    client.on('error', () => {})
    this.#clients.set(id, client)
    await this.until(() => this.threads.has(name), `request ${id} reaches its handler`)
  }

  abort (id: string): void {
    this.#clients.get(id)!.destroy()
  }

  async over (id: string, aborted: boolean): Promise<void> {
    if (!aborted) await this.until(() => this.#answered.has(id), `request ${id} is answered`)
    await this.until(() => this.ended.has(id), `request ${id} ends`)
  }

  call (name: string, fn: () => unknown): Promise<unknown> {
    return this.#order(name, { kind: 'call', fn })
  }

  /** Opens a scope in a thread, which continues in it. */
  nest (name: string, open: (body: () => Promise<void>) => unknown): Promise<unknown> {
    return this.#order(name, { kind: 'nest', open })
  }

  leave (name: string, error: Error | undefined): Promise<unknown> {
    return this.#order(name, { kind: 'leave', error })
  }

  #order (name: string, order: Order): Promise<unknown> {
    return this.within(this.threads.get(name)!.order(order), `thread ${name} obeys: ${order.kind}`)
  }

  look (): Seen {
    const { subject } = this
    const requestId = subject.get('requestId')
    // After the end of a request log lines keep their fields, and the signal has no meaning.
    const over = requestId === undefined
    return {
      requestId,
      values: KEYS.map((key) => subject.get(key)),
      actors: KEYS.map((key) => subject.actor(key)),
      reason: over ? undefined : subject.fields().reason as string | undefined,
      aborted: over ? undefined : subject.signal.aborted
    }
  }

  set (key: Key, value: string): void {
    this.subject.set(key, value)
  }

  /** Waits until a condition is true, as the laws require. */
  async until (isTrue: () => boolean, what: string): Promise<void> {
    const limit = Date.now() + 5000
    while (!isTrue()) {
      if (Date.now() > limit) throw new Error(`it never happens that ${what}`)
      await turn()
    }
  }

  async within<T> (promise: Promise<T>, what: string): Promise<T> {
    const timer = new AbortController()
    const late = sleep(5000, undefined, { signal: timer.signal }).then(() => { throw new Error(`it never happens that ${what}`) }, () => undefined as never)
    try {
      return await Promise.race([promise, late])
    } finally {
      timer.abort()
    }
  }
}
