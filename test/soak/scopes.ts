import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { ScopeMessage } from '../../lib/scope/diagnostics-channel.ts'

/** Counts the scopes that opened and ended in this thread, and those not yet collected. */
export class Scopes {
  opened = 0
  ended = 0
  /** How many published ends had no open scope: published twice, or never opened. */
  odd = 0
  #tracked = 0
  #collected = 0
  #tell: (requestId: string) => void = () => {}
  readonly #open = new WeakSet<object>()
  readonly #registry = new FinalizationRegistry<undefined>(() => { this.#collected++ })

  /** How many scopes and other tracked objects are still in memory. */
  get alive (): number {
    return this.#tracked - this.#collected
  }

  /** Tracks an object that must be collected after its request, without keeping it. */
  track (object: object): void {
    this.#tracked++
    this.#registry.register(object, undefined)
  }

  /** @param tell called with the request id of each scope that ended */
  watch (tell: (requestId: string) => void = () => {}): void {
    this.#tell = tell
    subscribe('fastify-ctx:open', this.#add)
    subscribe('fastify-ctx:end', this.#remove)
  }

  stop (): void {
    unsubscribe('fastify-ctx:open', this.#add)
    unsubscribe('fastify-ctx:end', this.#remove)
  }

  readonly #add = (message: unknown): void => {
    const { scope } = message as ScopeMessage
    this.opened++
    if (this.#open.has(scope)) this.odd++
    this.#open.add(scope)
    this.track(scope)
  }

  readonly #remove = (message: unknown): void => {
    const { scope, requestId } = message as ScopeMessage
    this.ended++
    if (!this.#open.delete(scope)) this.odd++
    this.#tell(requestId)
  }
}
