import http from 'node:http'
import http2 from 'node:http2'
import type { AddressInfo } from 'node:net'
import { Readable, type Writable } from 'node:stream'
import Fastify, { type FastifyInstance, type FastifyRequest, type FastifyServerOptions } from 'fastify'
import type { Subject } from './subjects.ts'

export type Transport = 'http1' | 'http2' | 'inject'

/** What code found: the request's own value, no value, or the value of another request. */
export type Seen = 'ok' | 'lost' | 'leak'

/** One place in the lifecycle of a request, and what concurrent requests of different tenants found there. */
export interface Point {
  readonly area: string
  readonly name: string
  readonly transport: Transport
  seen: Seen
  /** Whether `request.ctx` always had the values of its request, in any current scope. */
  requestCtx: 'ok' | 'wrong'
  readonly tenants: Set<string>
}

/** A group of points: builds an application, sends requests to it, and records what they see. */
export interface Area {
  readonly name: string
  readonly transports: readonly Transport[]
  readonly visit: (bench: Bench) => Promise<void>
}

/** The tenants of concurrent requests. Each is the canary of the others. */
export const TENANTS = ['alpha', 'beta'] as const

/** The owner of the code: a tenant, or an object with the headers of the request. */
export type Who = string | Pick<FastifyRequest, 'headers'> | http.IncomingMessage

export interface Ask {
  readonly tenant: string
  readonly path: string
  readonly method?: string
  readonly type?: string
  readonly body?: string | AsyncIterable<string>
  readonly headers?: Record<string, string>
}

export interface Answer { readonly status: number, readonly text: string }

/** A pending request. `abort` disconnects its client. */
export interface Sent {
  readonly answer: Promise<Answer>
  readonly abort: () => void
  /** Resolves when the head of the response has arrived. */
  readonly begun: Promise<void>
}

export type Options = FastifyServerOptions & { readonly connectionTimeout?: number, readonly before?: (app: FastifyInstance) => unknown }

/** Every request writes this line, so every area has this point. */
export const COMPLETED = 'Fastify\'s line "request completed"'

/** A timeout only for points that are never reached. Nothing is synchronised by time. */
const PATIENCE = 10_000

/** One area on one transport: its applications, its clients, and the observations. */
export class Bench {
  readonly points = new Map<string, Point>()
  readonly #area: string
  readonly transport: Transport
  readonly subject: Subject
  readonly #closing: Array<() => unknown> = []
  readonly #counts = new Map<string, number>()
  readonly #waiting = new Set<() => void>()
  #app!: FastifyInstance
  #session: http2.ClientHttp2Session | undefined
  #line: Record<string, unknown> = {}
  #ids = 0

  constructor (area: string, transport: Transport, subject: Subject) {
    this.#area = area
    this.transport = transport
    this.subject = subject
  }

  /** Starts an application with the plugin. `ask` uses the one that was started last. */
  async app (build: (app: FastifyInstance) => unknown, { before, ...options }: Options = {}): Promise<FastifyInstance> {
    const stream = { write: (line: string) => { this.#readLine(JSON.parse(line) as Record<string, unknown>) } }
    const serverOptions = { forceCloseConnections: true, ...options, logger: { level: 'info', stream } }
    // HTTP/2 has its own types for the raw objects, which behave the same here.
    const app = Fastify({ ...serverOptions, ...(this.transport === 'http2' ? { http2: true } : undefined) } as FastifyServerOptions) as FastifyInstance
    await before?.(app)
    await this.subject.register(app)
    await build(app)
    if (this.transport === 'inject') await app.ready()
    else await app.listen({ port: 0, host: '127.0.0.1' })
    this.#session = this.transport === 'http2' ? http2.connect(`http://127.0.0.1:${portOf(app)}`) : undefined
    const session = this.#session
    this.onClose(async () => {
      session?.destroy()
      await app.close()
    })
    this.#app = app
    return app
  }

  onClose (close: () => unknown): void {
    this.#closing.push(close)
  }

  async close (): Promise<void> {
    for (const close of this.#closing.reverse()) await close()
  }

  /** Records what is current here: by `ctx.get`, by `request.ctx`, and on a log line. */
  see (name: string, who: Who): void {
    const tenant = tenantOf(who)
    const values = [this.subject.get()]
    if (this.subject.correlated) {
      this.#line = {}
      this.#app.log.info('here')
      values.push(this.#line.tenant, tenantOfId(this.#line.reqId))
      if (typeof who === 'object' && 'ctx' in who) values.push((who.ctx as { get (key: string): unknown }).get('tenant'))
    }
    const point = this.#record(name, tenant, values)
    // The fourth value comes from request.ctx.
    if (values.length === 4 && values[3] !== tenant) point.requestCtx = 'wrong'
  }

  /** Records a place where no scope should be current. The next request must not see what the last one left. */
  seeNothing (name: string, who: Who): void {
    const value = this.subject.get()
    this.record(name, who, value === undefined ? tenantOf(who) : value)
  }

  /** Records a value that was read by code that does not know its request. */
  record (name: string, who: Who, value: unknown): void {
    this.#record(name, tenantOf(who), [value])
  }

  #record (name: string, tenant: string, values: unknown[]): Point {
    const point = this.points.get(name) ?? { area: this.#area, name, transport: this.transport, seen: 'ok', requestCtx: 'ok', tenants: new Set() }
    this.points.set(name, point)
    point.tenants.add(tenant)
    if (values.some((value) => value !== undefined && value !== tenant)) point.seen = 'leak'
    else if (point.seen === 'ok' && values.includes(undefined)) point.seen = 'lost'
    this.#count(name)
    return point
  }

  #readLine (line: Record<string, unknown>): void {
    this.#line = line
    if (!this.subject.correlated) return
    const { reqId, tenant, msg } = line
    if (msg === 'request completed') this.#record(COMPLETED, tenantOfId(reqId) ?? '', [tenant])
    else if (tenant !== undefined && tenant !== tenantOfId(reqId)) this.#record('any log line', tenantOfId(reqId) ?? '', [tenant])
  }

  #count (name: string): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1)
    for (const wake of this.#waiting) wake()
  }

  /** Resolves when a name was recorded, or met, this many times. */
  async until (name: string, times = 2): Promise<void> {
    const reached = (): boolean => (this.#counts.get(name) ?? 0) >= times
    if (reached()) return
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(wake)
        reject(new Error(`${this.#area} on ${this.transport}: '${name}' was not reached ${times} times`))
      }, PATIENCE)
      const wake = (): void => {
        if (!reached()) return
        clearTimeout(timer)
        this.#waiting.delete(wake)
        resolve()
      }
      this.#waiting.add(wake)
    })
  }

  /** Resolves when all pending requests have arrived here. */
  meet (name: string, size: number = TENANTS.length): Promise<void> {
    const place = `meet ${name}`
    const arrived = (this.#counts.get(place) ?? 0) + 1
    this.#count(place)
    return this.until(place, Math.ceil(arrived / size) * size)
  }

  /** Sends the same request for each tenant at once. */
  both (ask: Omit<Ask, 'tenant' | 'body'> & { body?: () => string | AsyncIterable<string> }): Promise<Answer[]> {
    return Promise.all(TENANTS.map((tenant) => this.ask({ ...ask, tenant, ...(ask.body === undefined ? undefined : { body: ask.body() }) } as Ask)))
  }

  ask (ask: Ask): Promise<Answer> {
    return this.send(ask).answer
  }

  send (ask: Ask): Sent {
    const headers = {
      'x-tenant': ask.tenant,
      'x-request-id': `${ask.tenant}.${++this.#ids}`,
      ...(ask.body === undefined ? undefined : { 'content-type': ask.type ?? 'application/json' }),
      ...ask.headers
    }
    const method = ask.method ?? (ask.body === undefined ? 'GET' : 'POST')
    const prepared = { ...ask, method, headers }
    const sent = this.transport === 'inject'
      ? inject(this.#app, prepared)
      : this.transport === 'http2' ? overHttp2(this.#session!, prepared) : overHttp1(portOf(this.#app), prepared)
    // Most callers need only the response.
    sent.begun.catch(() => {})
    return sent
  }
}

export function portOf (app: FastifyInstance): number {
  return (app.server.address() as AddressInfo).port
}

export function tenantOf (who: Who): string {
  return typeof who === 'string' ? who : String(who.headers['x-tenant'])
}

function tenantOfId (id: unknown): string | undefined {
  return typeof id === 'string' ? id.split('.')[0] : undefined
}

type Prepared = Ask & { method: string, headers: Record<string, string> }

function inject (app: FastifyInstance, { method, path, headers, body }: Prepared): Sent {
  const abort = new AbortController()
  const payload = body === undefined || typeof body === 'string' ? body : Readable.from(body)
  const answer = app.inject({ method: method as 'GET', url: path, headers, signal: abort.signal, ...(payload === undefined ? undefined : { payload }) })
    .then((response) => ({ status: response.statusCode, text: response.body }))
  return { answer, abort: () => { abort.abort() }, begun: answer.then(() => {}) }
}

function overHttp1 (port: number, { method, path, headers, body }: Prepared): Sent {
  const request = http.request({ host: '127.0.0.1', port, method, path, headers, agent: false })
  const response = new Promise<http.IncomingMessage>((resolve, reject) => request.on('response', resolve).on('error', reject))
  write(request, body)
  return {
    answer: response.then(async (response) => ({ status: response.statusCode ?? 0, text: await textOf(response) })),
    abort: () => { request.destroy() },
    begun: response.then(() => {})
  }
}

function overHttp2 (session: http2.ClientHttp2Session, { method, path, headers, body }: Prepared): Sent {
  const stream = session.request({ ...headers, ':method': method, ':path': path }, { endStream: body === undefined })
  const response = new Promise<number>((resolve, reject) => {
    stream.on('response', (headers) => { resolve(Number(headers[':status'])) }).on('error', reject)
      .on('close', () => { reject(new Error(`stream closed with code ${stream.rstCode}`)) })
  })
  if (body !== undefined) write(stream, body)
  return {
    answer: response.then(async (status) => ({ status, text: await textOf(stream) })),
    // `close` would end the body first.
    abort: () => { stream.destroy(new Error('gone')) },
    begun: response.then(() => {})
  }
}

function write (writable: Writable, body: Ask['body']): void {
  if (body === undefined || typeof body === 'string') writable.end(body)
  else Readable.from(body).on('error', () => {}).pipe(writable).on('error', () => {})
}

async function textOf (stream: NodeJS.ReadableStream): Promise<string> {
  let text = ''
  for await (const chunk of stream) text += String(chunk)
  return text
}
