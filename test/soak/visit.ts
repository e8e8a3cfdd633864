import type { IncomingMessage } from 'node:http'
import { canary } from '../support/canary.ts'

/** What is known about one request without its context. */
export interface Visit {
  readonly n: number
  /** Whether its user is set. */
  known: boolean
  /** Whether the connection of its response has closed. From then on its values may be dropped. */
  closed: boolean
}

/** The values that a place must see, by the names of their canaries. */
export interface Expected {
  readonly tenant?: string
  readonly user?: string
}

const visits = new WeakMap<object, Visit>()

/** The request number in the headers of a message. */
export function visitOf (request: { readonly raw: object, readonly headers: IncomingMessage['headers'] }): Visit {
  let visit = visits.get(request.raw)
  if (visit === undefined) visits.set(request.raw, visit = { n: Number(request.headers['x-number']), known: false, closed: false })
  return visit
}

/** The values of a request. Each is unique to it. */
export function identityOf (n: number): { readonly requestId: string, readonly tenant: string, readonly user: string } {
  return { requestId: canary(n, 'id'), tenant: canary(n, 'tenant'), user: canary(n, 'user') }
}

const CANARY = /canary-(\d+)-\w+/g

/** The requests whose values are in a text. */
export function ownersIn (text: string): number[] {
  return Array.from(text.matchAll(CANARY), ([, n]) => Number(n))
}
