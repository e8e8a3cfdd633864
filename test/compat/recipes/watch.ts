// Concurrent requests of two tenants, and what the code of a library saw of them.
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import { gate, Lines, listen, type Gate, type Tap } from '../../support/support.ts'
import { ctx } from './context.ts'

export const TENANTS = ['acme', 'globex'] as const

/** What both tenants' code saw at one place: its own value, none, or the value of the other. */
export type Seen = 'held' | 'lost' | 'swapped' | 'seen by one tenant only'

/** The context to read: anything with tenants. */
interface Tenants { get (key: 'tenant'): string | undefined }

/** An application of two tenants, with a function that reads the current one. */
export class Watch {
  readonly #t: Tap
  readonly #ctx: Tenants
  readonly #places = new Map<string, Map<string, unknown[]>>()
  readonly #meetings = new Map<string, Gate & { missing: number }>()
  readonly lines: Lines
  readonly app: FastifyInstance
  url = ''

  constructor (t: Tap, context: Tenants = ctx, options: FastifyServerOptions = {}) {
    this.#t = t
    this.#ctx = context
    this.lines = new Lines(t)
    this.app = Fastify({ ...options, forceCloseConnections: true, logger: { level: 'info', stream: this.lines } }) as FastifyInstance
  }

  async listen (): Promise<string> {
    this.url = (await listen(this.#t, this.app)).url
    return this.url
  }

  /** Records the value and a log line in the code of a tenant. The place must know its tenant without the context. */
  see (place: string, whose: unknown): void {
    this.app.log.info('here')
    const line = JSON.parse(this.lines.raw.at(-1)!) as Record<string, unknown>
    const seen = this.#places.get(place) ?? new Map<string, unknown[]>()
    this.#places.set(place, seen)
    const values = seen.get(String(whose)) ?? []
    seen.set(String(whose), values)
    values.push(this.#ctx.get('tenant'), line.tenant, typeof line.reqId === 'string' ? line.reqId.replace(/^id-/, '') : undefined)
  }

  /** What was seen at each place. */
  told (): Record<string, Seen> {
    this.lines.all()
    return Object.fromEntries([...this.#places].map(([place, seen]) => [place, told(seen)]))
  }

  /** Waits until the requests of both tenants have arrived. */
  async meet (where: string): Promise<void> {
    const meeting = this.#meetings.get(where) ?? { ...gate(), missing: TENANTS.length }
    this.#meetings.set(where, meeting)
    if (--meeting.missing === 0) {
      this.#meetings.delete(where)
      meeting.open()
    }
    await meeting.promise
  }

  /** Sends a request of a tenant. */
  async ask (tenant: string, path: string, { headers, ...init }: RequestInit & { readonly headers?: Record<string, string> } = {}): Promise<string> {
    return await (await fetch(`${this.url}${path}`, { ...init, headers: { ...headersOf(tenant), ...headers } })).text()
  }

  /** Sends a request of each tenant at once. */
  async askBoth (path: string, optionsOf: (tenant: string) => Parameters<Watch['ask']>[2] = () => ({})): Promise<string[]> {
    return await Promise.all(TENANTS.map(async (tenant) => await this.ask(tenant, path, optionsOf(tenant))))
  }

  /** The last log lines of the requests, by id, with the tenant that each contains. */
  async completed (times: number = TENANTS.length): Promise<Record<string, unknown>> {
    await this.lines.until('request completed', times)
    return Object.fromEntries(this.lines.all('request completed').map(({ reqId, tenant }) => [reqId, tenant]))
  }
}

/** The header that identifies the tenant to the server. */
export function headersOf (tenant: string): Record<string, string> {
  return { 'x-tenant': tenant, 'x-request-id': `id-${tenant}` }
}

/** Each its own tenant: the result of `completed` if nothing is wrong. */
export const OWN = Object.fromEntries(TENANTS.map((tenant) => [`id-${tenant}`, tenant]))

function told (seen: ReadonlyMap<string, readonly unknown[]>): Seen {
  if (seen.size < TENANTS.length) return 'seen by one tenant only'
  const all = [...seen].flatMap(([tenant, values]) => values.map((value) => value === undefined ? 'lost' : value === tenant ? 'held' : 'swapped'))
  return all.includes('swapped') ? 'swapped' : all.includes('lost') ? 'lost' : 'held'
}
