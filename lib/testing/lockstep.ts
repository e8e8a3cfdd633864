import { AsyncResource } from 'node:async_hooks'
import { tracingChannel } from 'node:diagnostics_channel'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { FastifyRequest } from 'fastify'
import { routeContext } from '../patches/fastify-internals.ts'
import { intercept } from './method-spy.ts'
import type { SentRequest } from './sent-request.ts'

/** A call of a handler whose result is known later. Fastify treats any object with `then` as a promise. */
interface LaterResult { then (resolve: (result: unknown) => void, reject: (error: unknown) => void): void }

/** A place where requests wait for each other. */
export class Barrier {
  /** Resolves when each request has reached the barrier, or can no longer reach it. */
  readonly full: Promise<void>
  readonly #missing: Set<SentRequest>
  readonly #waiting = new Map<SentRequest, () => void>()
  #fill!: () => void
  #isOpen = false

  constructor (requests: readonly SentRequest[]) {
    this.#missing = new Set(requests)
    this.full = new Promise((resolve) => { this.#fill = resolve })
  }

  /** Calls `proceed` when the barrier opens, in the async context of this call; at once if it is already open. */
  reach (sent: SentRequest, proceed: () => void): void {
    if (this.#isOpen) return proceed()
    this.#waiting.set(sent, AsyncResource.bind(proceed))
    this.pass(sent)
  }

  /** Stops waiting for a request. */
  pass (sent: SentRequest): void {
    this.#missing.delete(sent)
    if (this.#missing.size === 0) this.#fill()
  }

  /** Lets requests proceed in the given order, all in one turn. After each one, as many awaits pass as `steps` says. */
  async open (order: readonly SentRequest[], steps: readonly number[]): Promise<void> {
    this.#isOpen = true
    for (const [i, sent] of order.entries()) {
      this.#waiting.get(sent)?.()
      for (let step = steps[i]!; step > 0; step--) await undefined
    }
  }
}

/**
 * Stops the requests of a burst twice: when Node has read their headers, before Fastify sees them, and before their handlers.
 * The application need not know: the server's `request` event is emitted later, and Fastify's channel for handlers says
 * when one is about to be called. On a Fastify version without that channel, requests stop only the first time.
 */
export class Lockstep {
  readonly arrivals: Barrier
  readonly handlers: Barrier
  readonly #requestOf: (request: IncomingMessage) => SentRequest | undefined
  readonly #stops: Array<() => void> = []

  /** @param requestOf finds the request of this burst that the server received */
  constructor (server: Server, requests: readonly SentRequest[], requestOf: (request: IncomingMessage) => SentRequest | undefined) {
    this.#requestOf = requestOf
    this.arrivals = new Barrier(requests)
    this.handlers = new Barrier(requests)
    this.#stopArrivals(server)
    this.#stopHandlers()
  }

  /** Stops no request from now on. */
  stop (): void {
    for (const stop of this.#stops.splice(0)) stop()
  }

  #stopArrivals (server: Server): void {
    this.#stops.push(intercept(server, 'emit', (proceed, _server, [event, request, response]) => {
      const sent = event === 'request' ? this.#requestOf(request as IncomingMessage) : undefined
      if (sent === undefined) return proceed()
      // A hook may respond, or the client may leave, before a handler is called.
      ;(response as ServerResponse).once('close', () => { this.handlers.pass(sent) })
      this.arrivals.reach(sent, proceed)
      return true
    }))
  }

  #stopHandlers (): void {
    const { start } = tracingChannel('fastify.request.handler')
    const routes = new Set<object>()
    const beforeHandler = (message: unknown): void => {
      const route = routeContext((message as { readonly request: FastifyRequest }).request)
      if (route === undefined || routes.has(route)) return
      routes.add(route)
      this.#stops.push(intercept(route, 'handler', (proceed, _route, [request]) => {
        const sent = this.#requestOf((request as FastifyRequest).raw)
        return sent === undefined ? proceed() : this.#callLater(sent, proceed)
      }))
    }
    start.subscribe(beforeHandler)
    this.#stops.push(() => { start.unsubscribe(beforeHandler) })
  }

  /** Fastify treats the result as without the stop: a handler that returns nothing causes no report. */
  #callLater (sent: SentRequest, handler: () => unknown): LaterResult {
    return {
      then: (resolve, reject) => {
        this.handlers.reach(sent, () => {
          let result: unknown
          try {
            result = handler()
          } catch (error) {
            return reject(error)
          }
          if (typeof (result as LaterResult | undefined)?.then === 'function') (result as LaterResult).then(resolve, reject)
          else if (result !== undefined) resolve(result)
        })
      }
    }
  }
}
