import { AsyncResource } from 'node:async_hooks'
import { tracingChannel } from 'node:diagnostics_channel'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { FastifyRequest } from 'fastify'
import { routeContext } from '../patches/fastify-internals.ts'
import { intercept } from './method-spy.ts'
import type { Shot } from './sent-request.ts'

/** A call of a handler whose result is known later. Fastify takes any object with `then` for a promise. */
interface LaterResult { then (resolve: (result: unknown) => void, reject: (error: unknown) => void): void }

/** Where requests wait for each other. */
export class Barrier {
  /** Resolves when each request has reached the barrier, or will not reach it any more. */
  readonly full: Promise<void>
  readonly #missing: Set<Shot>
  readonly #waiting = new Map<Shot, () => void>()
  #fill!: () => void
  #isOpen = false

  constructor (shots: readonly Shot[]) {
    this.#missing = new Set(shots)
    this.full = new Promise((resolve) => { this.#fill = resolve })
  }

  /** Calls `proceed` when the barrier opens, in the async context of this call; at once where it is open already. */
  reach (shot: Shot, proceed: () => void): void {
    if (this.#isOpen) return proceed()
    this.#waiting.set(shot, AsyncResource.bind(proceed))
    this.pass(shot)
  }

  /** Stops waiting for a request. */
  pass (shot: Shot): void {
    this.#missing.delete(shot)
    if (this.#missing.size === 0) this.#fill()
  }

  /** Lets requests proceed in an order. All do so in one turn: after each, as many awaits pass as `steps` says in its place. */
  async open (order: readonly Shot[], steps: readonly number[]): Promise<void> {
    this.#isOpen = true
    for (const [i, shot] of order.entries()) {
      this.#waiting.get(shot)?.()
      for (let step = steps[i]!; step > 0; step--) await undefined
    }
  }
}

/**
 * Stops the requests of a burst twice: when Node has read their headers, before Fastify sees them, and before their handlers.
 * Nothing of the application need know: the server's `request` event is emitted later, and Fastify's channel for handlers says
 * when one is about to be called. On a Fastify without that channel, requests are only stopped the first time.
 */
export class Lockstep {
  readonly arrivals: Barrier
  readonly handlers: Barrier
  readonly #shotOf: (request: IncomingMessage) => Shot | undefined
  readonly #stops: Array<() => void> = []

  /** @param shotOf finds the request of this burst that the server received */
  constructor (server: Server, shots: readonly Shot[], shotOf: (request: IncomingMessage) => Shot | undefined) {
    this.#shotOf = shotOf
    this.arrivals = new Barrier(shots)
    this.handlers = new Barrier(shots)
    this.#stopArrivals(server)
    this.#stopHandlers()
  }

  /** Stops no request from now on. */
  stop (): void {
    for (const stop of this.#stops.splice(0)) stop()
  }

  #stopArrivals (server: Server): void {
    this.#stops.push(intercept(server, 'emit', (proceed, _server, [event, request, response]) => {
      const shot = event === 'request' ? this.#shotOf(request as IncomingMessage) : undefined
      if (shot === undefined) return proceed()
      // A hook may answer, or the client may leave, before a handler is called.
      ;(response as ServerResponse).once('close', () => { this.handlers.pass(shot) })
      this.arrivals.reach(shot, proceed)
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
        const shot = this.#shotOf((request as FastifyRequest).raw)
        return shot === undefined ? proceed() : this.#callLater(shot, proceed)
      }))
    }
    start.subscribe(beforeHandler)
    this.#stops.push(() => { start.unsubscribe(beforeHandler) })
  }

  /** Fastify treats the result as it would have without the stop: nothing is reported for a handler that returns nothing. */
  #callLater (shot: Shot, handler: () => unknown): LaterResult {
    return {
      then: (resolve, reject) => {
        this.handlers.reach(shot, () => {
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
