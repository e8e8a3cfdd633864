import type { IncomingMessage } from 'node:http'
import { canary } from '../integration/isolation/checker.ts'

/** What is known of one request from outside its context. */
export interface Visit {
  readonly n: number
  /** Whether its user is set. */
  known: boolean
  /** Whether the connection of its answer closed: from then on its values may go. */
  closed: boolean
}

/** The values that a place is to see, by what their canaries are called. */
export interface Expected {
  readonly tenant?: string
  readonly user?: string
}

const visits = new WeakMap<object, Visit>()

/** The request number of a message, by its own header. */
export function visitOf (request: { readonly raw: object, readonly headers: IncomingMessage['headers'] }): Visit {
  let visit = visits.get(request.raw)
  if (visit === undefined) visits.set(request.raw, visit = { n: Number(request.headers['x-number']), known: false, closed: false })
  return visit
}

/** What a request brings along: each value is its own and nobody else's. */
export function identityOf (n: number): { readonly requestId: string, readonly tenant: string, readonly user: string } {
  return { requestId: canary(n, 'id'), tenant: canary(n, 'tenant'), user: canary(n, 'user') }
}

const CANARY = /canary-(\d+)-\w+/g

/** The requests whose values are in a text. */
export function ownersIn (text: string): number[] {
  return Array.from(text.matchAll(CANARY), ([, n]) => Number(n))
}
