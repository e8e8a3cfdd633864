import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { inspect } from 'node:util'
import { drain } from '../lifecycle/detached.ts'
import { symbolOf } from '../common/symbols.ts'
import { requestIdLabel } from '../patches/fastify-internals.ts'
import { lifetimeOfResponse } from '../lifecycle/carrier.ts'
import type { RequestLifetime } from '../lifecycle/request-lifetime.ts'
import { listenToWrites, registrationsOf } from '../scope/registrations.ts'
import type { Lifetime, Scope } from '../scope/scope.ts'
import type { Canaries } from './canary.ts'
import { makeCrossing, ownersOf, type Found } from './crossing.ts'
import type { SentRequest } from './sent-request.ts'
import { rememberCall } from './source.ts'
import type { App } from './target.ts'
import { spyOn } from './method-spy.ts'

/** A log line with a canary in it. */
interface LogLine {
  readonly id: unknown
  readonly message: string
  readonly logger: string
  readonly line: () => string | undefined
  readonly text: string
}

/** A value with a canary in it that a scope was given, or had at its end. */
interface HeldValue {
  readonly lifetime: Lifetime
  readonly key: string
  readonly line: () => string | undefined
  readonly text: string
}

/** How deep a value is searched, and how many of its properties. */
const LOOK = { depth: 6, maxArrayLength: 1000, maxStringLength: 100_000, breakLength: Infinity } as const

/** Watches an application while requests are sent to it: the requests that it receives, its log lines, and the values of its scopes. */
export class Observer {
  readonly #app: App
  readonly #canaries: Canaries<SentRequest>
  readonly #idLabel: string
  readonly #ports = new Map<number, SentRequest>()
  /** `undefined` for an id that several requests have. */
  readonly #ids = new Map<unknown, SentRequest | undefined>()
  readonly #lifetimes = new Map<Lifetime, SentRequest>()
  readonly #lines: LogLine[] = []
  readonly #given: HeldValue[] = []
  readonly #left: HeldValue[] = []
  readonly #held: RequestLifetime[] = []
  readonly #stops: Array<() => void> = []
  /** The request whose `request` event is being emitted. */
  #arriving: SentRequest | undefined = undefined

  constructor (app: App, canaries: Canaries<SentRequest>, loggers: readonly object[]) {
    this.#app = app
    this.#canaries = canaries
    this.#idLabel = requestIdLabel(app)
    this.#watchServer(app.server as Server)
    for (const logger of [app.log as object, ...loggers]) this.#watchLogger(logger)
    for (const registration of registrationsOf(app.server)) this.#stops.push(listenToWrites(registration, (scope, name) => { this.#lookAtWrite(scope, name) }))
  }

  /** Sets which request comes next from a port. */
  expect (port: number, sent: SentRequest): void {
    this.#ports.set(port, sent)
  }

  /** The request that the server received, if it was expected. */
  requestOf (request: IncomingMessage): SentRequest | undefined {
    return this.#ports.get(request.socket.remotePort!)
  }

  /**
   * Lets the scopes of answered requests end. Until then their values are kept, so that code in a foreign scope
   * sees the other request's value, and not a missing one.
   */
  release (): void {
    for (const lifetime of this.#held.splice(0)) lifetime.release()
  }

  /** Waits for the work that requests left behind, until a time in milliseconds since the epoch. */
  async settle (until: number): Promise<void> {
    for (const registration of registrationsOf(this.#app.server)) await drain(registration, until, undefined)
  }

  stop (): void {
    this.release()
    for (const stop of this.#stops.splice(0)) stop()
  }

  /** The crossings on log lines and in values of scopes. */
  crossings (): Found[] {
    const set = this.#given.flatMap((held) => this.#crossingsOf(held))
    const known = new Set(set.map(({ reader, owner, at }) => `${reader.number} ${owner.number} ${at}`))
    const left = this.#left.flatMap((held) => this.#crossingsOf(held)).filter(({ reader, owner, at }) => !known.has(`${reader.number} ${owner.number} ${at}`))
    const logged = this.#lines.flatMap(({ id, message, logger, line, text }) => {
      const reader = this.#ids.get(id)
      if (reader === undefined) return []
      return ownersOf(text, reader, this.#canaries).map((owner) => makeCrossing(reader, owner, { where: 'log', at: message, logger, text, line: line() }, this.#canaries))
    })
    return [...set, ...left, ...logged]
  }

  #crossingsOf ({ lifetime, key, line, text }: HeldValue): Found[] {
    const reader = this.#lifetimes.get(lifetime)
    if (reader === undefined) return []
    return ownersOf(text, reader, this.#canaries).map((owner) => makeCrossing(reader, owner, { where: 'value', at: key, text, line: line() }, this.#canaries))
  }

  #watchServer (server: Server): void {
    const arrive = (request: IncomingMessage, response: ServerResponse): void => {
      const sent = this.requestOf(request)
      this.#arriving = sent
      if (sent === undefined) return
      sent.arrive()
      const look = (): void => { this.#lookAtEnd(sent, response) }
      response.once('finish', look)
      response.once('close', look)
    }
    const arrived = (): void => { this.#arriving = undefined }
    server.prependListener('request', arrive)
    server.on('request', arrived)
    this.#stops.push(() => {
      server.off('request', arrive)
      server.off('request', arrived)
    })
  }

  #watchLogger (logger: object): void {
    // Each copy of pino has its own symbols with the same descriptions. Other loggers have none and are not watched.
    const kStream = symbolOf(logger, 'pino.stream')
    const stream = kStream === undefined ? undefined : (logger as Record<symbol, unknown>)[kStream]
    if (typeof stream !== 'object' || stream === null) return
    this.#stops.push(spyOn(stream, 'write', (_stream, [text]) => { if (typeof text === 'string') this.#lookAtLine(text) }))
  }

  #lookAtLine (text: string): void {
    const marked = this.#canaries.ownersIn(text).size > 0
    if (!marked && this.#arriving === undefined) return
    let parsed: Record<string, unknown>
    try {
      parsed = JSON.parse(text) as Record<string, unknown>
    } catch {
      return
    }
    const id = parsed[this.#idLabel]
    // The first line with an id that is written during the `request` event belongs to that request.
    if (id !== undefined && this.#arriving !== undefined && !this.#ids.has(id)) this.#ids.set(id, this.#arriving)
    if (marked) this.#lines.push({ id, message: String(parsed.msg ?? ''), logger: this.#loggerOf(parsed), line: rememberCall(), text })
  }

  #loggerOf ({ level, name }: Record<string, unknown>): string {
    const { levels } = this.#app.log as { levels?: { readonly labels: Readonly<Record<string, string>> } }
    const label = levels?.labels[String(level)] ?? String(level)
    return name === undefined ? label : `${label}, logger '${String(name)}'`
  }

  #lookAtWrite ({ store, root: { lifetime } }: Scope, key: string): void {
    const value = store[key]
    if (lifetime === undefined || value === undefined) return
    const text = textOf(value)
    if (this.#canaries.ownersIn(text).size > 0) this.#given.push({ lifetime, key, text, line: rememberCall() })
  }

  #claim (id: unknown, sent: SentRequest): void {
    this.#ids.set(id, this.#ids.has(id) && this.#ids.get(id) !== sent ? undefined : sent)
  }

  /** A response was sent, or its connection closed. The scopes of its request still have their values. */
  #lookAtEnd (sent: SentRequest, response: ServerResponse): void {
    const lifetime = lifetimeOfResponse(response)
    if (lifetime === undefined || this.#lifetimes.has(lifetime)) return
    this.#lifetimes.set(lifetime, sent)
    sent.route = lifetime.scope.route
    let isAwaited = false
    for (let scope: Scope | undefined = lifetime.scope; scope !== undefined; scope = scope.enclosing) {
      isAwaited ||= (scope.lazyState?.onEndCallbacks ?? scope.lazyState?.afterTasks) !== undefined
      this.#claim(scope.store.requestId, sent)
      for (const key of Object.keys(scope.store)) {
        const text = textOf(scope.store[key])
        if (this.#canaries.ownersIn(text).size > 0) this.#left.push({ lifetime, key, text, line: () => undefined })
      }
    }
    // Other code may wait for the callbacks of the end.
    if (isAwaited) return
    lifetime.hold()
    this.#held.push(lifetime)
  }
}

function textOf (value: unknown): string {
  return typeof value === 'string' ? value : inspect(value, LOOK)
}
