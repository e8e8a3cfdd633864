// Shared by the tests of test/integration/endings.test.ts: an application that records how its scopes end.
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once, type EventEmitter } from 'node:events'
import Fastify, { type FastifyInstance, type FastifyRequest, type FastifyServerOptions } from 'fastify'
import type { Test } from 'tap'
import { FST_CTX_ENDED } from '../../lib/common/errors.ts'
import { createContext, key } from '../../lib/index.ts'
import { gate } from '../support/support.ts'
import { portOf } from './points/bench.ts'

export const TENANTS = ['alpha', 'beta'] as const

/** The hooks that run at the end of a request, by kind: each style and place. */
const HOOKS = {
  onResponse: ['callback before the plugin', 'async before the plugin', 'callback after it', 'async after it', 'of the route', 'in a child plugin'],
  onRequestAbort: ['async before the plugin', 'callback after it', 'async after it']
} as const

type Kind = keyof typeof HOOKS

/** The names of the hooks of one kind. An unmatched route runs only the onResponse hooks of the root. */
export function hooksOf (kind: Kind, where: 'route' | '404' = 'route'): string[] {
  return HOOKS[kind].slice(0, where === '404' ? 4 : undefined).map((hook) => `${kind} ${hook}`)
}

export type Options = FastifyServerOptions & { readonly http2?: boolean, readonly connectionTimeout?: number, readonly requestTimeout?: number, readonly http?: object }

export interface Gates {
  readonly reach: () => void
  /** Resolves when all requests have arrived here. */
  readonly reached: Promise<void>
  /** Waits until some time after the connection has closed, longer than an end that waits for nothing takes. */
  readonly gone: (request: Pick<FastifyRequest, 'raw'>) => Promise<void>
}

export function gates (size: number): Gates {
  const { promise: reached, open } = gate()
  let left = size
  return {
    reach () { if (--left === 0) open() },
    reached,
    async gone ({ raw }) {
      const connection = (raw as { readonly stream?: EventEmitter }).stream ?? raw.socket
      await once(connection, 'close').catch(() => {})
      await new Promise((resolve) => { setTimeout(resolve, 20) })
    }
  }
}

/** An application that records for each tenant which hooks ran and when its scope ended. */
export class Ended {
  readonly ctx = createContext({
    tenant: key<string>({
      seed: (request) => {
        const tenant = String(request.headers['x-tenant'])
        this.probes.set(tenant, this.ctx.bind(() => this.ctx.has('tenant')))
        this.#required.set(tenant, this.ctx.bind(() => this.ctx.require('tenant')))
        return tenant
      }
    }),
    slow: key<string>({
      seed: async (request) => {
        if (request.headers['x-seed'] === 'throws') throw new Error('failed')
        if (request.headers['x-seed'] === 'waits') { this.#gates?.reach(); await this.#gates?.gone(request as FastifyRequest) }
        return 'value'
      }
    })
  })

  /** By tenant: a function, bound in its scope, that reports whether the value still exists. */
  readonly probes = new Map<string, () => boolean>()
  readonly root: FastifyInstance
  /** A child plugin, which has the routes. */
  app!: FastifyInstance
  readonly #gates: Gates | undefined
  readonly #notes = new Map<string, string[]>()
  readonly #required = new Map<string, () => unknown>()
  #ends = 0
  #wake = (): void => {}

  private constructor (t: Test, options: Options, gates: Gates | undefined) {
    this.#gates = gates
    this.root = Fastify({ forceCloseConnections: true, ...options } as FastifyServerOptions) as FastifyInstance
    t.teardown(() => this.root.close())
    const watch = (): void => { this.#noteEnd(this.ctx.get('tenant')) }
    subscribe('fastify-ctx:end', watch)
    t.teardown(() => { unsubscribe('fastify-ctx:end', watch) })
  }

  static async open (t: Test, options: Options = {}, gates?: Gates): Promise<Ended> {
    const ended = new Ended(t, options, gates)
    const { root: app, ctx } = ended
    const note = (kind: Kind, which: number) => (request: FastifyRequest): void => { ended.note(request, `${kind} ${HOOKS[kind][which]}`) }
    // Several turns, so that an end that does not wait comes too early.
    const slowly = async (note: (request: FastifyRequest) => void, request: FastifyRequest): Promise<void> => {
      for (let i = 0; i < 3; i++) await new Promise((resolve) => { setImmediate(resolve) })
      note(request)
    }
    app.addHook('onResponse', (request, _reply, done) => { setImmediate(() => { note('onResponse', 0)(request); done() }) })
    app.addHook('onResponse', async (request) => { await slowly(note('onResponse', 1), request) })
    app.addHook('onRequestAbort', async (request) => { await slowly(note('onRequestAbort', 0), request) })
    await app.register(ctx.plugin)
    app.addHook('preParsing', (request, _reply, _payload, done) => { request.raw.once('close', () => { ended.note(request, 'request.raw') }); done() })
    app.addHook('onResponse', (request, _reply, done) => { note('onResponse', 2)(request); done() })
    app.addHook('onResponse', async (request) => { await slowly(note('onResponse', 3), request) })
    app.addHook('onRequestAbort', (request, done) => { setImmediate(() => { note('onRequestAbort', 1)(request); done() }) })
    app.addHook('onRequestAbort', async (request) => { await slowly(note('onRequestAbort', 2), request) })
    app.addHook('onRoute', (route) => { route.onResponse = async (request: FastifyRequest) => { await slowly(note('onResponse', 4), request) } })
    await app.register(async (child) => {
      child.addHook('onResponse', async (request) => { await slowly(note('onResponse', 5), request) })
      ended.app = child
    })
    return ended
  }

  /** Listens, and returns the port. */
  async listen (): Promise<number> {
    await this.root.listen({ port: 0, host: '127.0.0.1' })
    return portOf(this.root)
  }

  note (request: Pick<FastifyRequest, 'headers'>, what: string): void {
    this.#notesOf(String(request.headers['x-tenant'])).push(`${what}: ${this.ctx.get('tenant')}`)
  }

  #notesOf (tenant: string): string[] {
    let notes = this.#notes.get(tenant)
    if (notes === undefined) this.#notes.set(tenant, notes = [])
    return notes
  }

  /** Resolves when this many scopes have ended. */
  async times (ends: number): Promise<void> {
    if (this.#ends >= ends) return
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => { reject(new Error(`${this.#ends} of ${this.probes.size} scopes have ended, and ${ends} should`)) }, 10_000)
      this.#wake = () => {
        if (this.#ends < ends) return
        clearTimeout(timer)
        resolve()
      }
    })
  }

  async both (): Promise<void> {
    await this.times(TENANTS.length)
  }

  /**
   * Closes the application, and checks that each scope ended once and last, and that every hook before saw its own tenant.
   * After a complete response the values are gone. After a disconnect, or after a handler exceeded its limit, they stay for code
   * that is still running.
   *
   * @param hooks the names of the hooks that must have run, each once, and no others
   */
  async check (t: Test, hooks: readonly string[], { tenants = TENANTS, kept = hooks.length === 0 || hooks.some((hook) => hook.startsWith('onRequestAbort')) }: { readonly tenants?: readonly string[], readonly kept?: boolean } = {}): Promise<void> {
    await this.root.close()
    for (let i = 0; i < 5; i++) await new Promise((resolve) => { setImmediate(resolve) })
    for (const tenant of tenants) {
      const notes = this.#notesOf(tenant)
      t.same(notes.filter((note) => note === 'end').length, 1, `${tenant}: one end`)
      t.equal(notes.at(-1), 'end', `${tenant}: nothing after it`)
      t.same(notes.filter((note) => note !== 'end' && !note.endsWith(`: ${tenant}`)), [], `${tenant}: every earlier hook saw its own tenant`)
      t.same(notes.filter((note) => note.startsWith('on')).map((note) => note.split(':')[0]).sort(), [...hooks].sort(), `${tenant}: each hook ran once`)
      t.equal(this.probes.get(tenant)!(), kept)
      if (kept) t.equal(this.#required.get(tenant)!(), tenant)
      else t.throws(this.#required.get(tenant)!, { code: new FST_CTX_ENDED('tenant').code })
    }
    t.equal(this.#ends, tenants.length)
  }

  #noteEnd (tenant: unknown): void {
    this.#notesOf(String(tenant)).push('end')
    this.#ends++
    this.#wake()
  }
}
