import { channel } from 'node:diagnostics_channel'
import type { Scope } from './scope.ts'
import { enter } from './storage.ts'
import { tallyOf } from './tally.ts'

/**
 * What the channels `fastify-ctx:open` and `fastify-ctx:end` of `node:diagnostics_channel` tell, of each request and of each
 * `ctx.run` that is a root. Subscribers run in the scope: `ctx.get` gives its values, at the end for the last time.
 *
 * @example
 * diagnostics_channel.subscribe('fastify-ctx:end', (message) => { apm.tag('tenant', ctx.get('tenant')) })
 */
export interface ScopeMessage {
  /** The same object for the opening and the end of one scope, and empty: a key for a WeakMap. */
  readonly scope: object
  /** The id of the request or job. */
  readonly requestId: string
  /** The pattern of the route; `undefined` outside a request. */
  readonly route: string | undefined
  /** Whether the client went away before it had the answer. */
  readonly lost: boolean
}

const opened = channel('fastify-ctx:open')
const ended = channel('fastify-ctx:end')

/** A root scope is open. */
export function publishOpen (scope: Scope): void {
  tallyOf(scope.definition)?.open(scope)
  if (opened.hasSubscribers) enter(scope.store, () => { opened.publish(messageOf(scope)) })
}

/** A root scope is over; its values are still there. */
export function publishEnd (scope: Scope): void {
  tallyOf(scope.definition)?.end(scope)
  if (ended.hasSubscribers) enter(scope.store, () => { ended.publish(messageOf(scope)) })
}

/** What stands for a scope in messages. It holds nothing: subscribers print and serialize what they get. */
const tokens = new WeakMap<Scope, object>()

function messageOf (scope: Scope): ScopeMessage {
  const token = tokens.get(scope) ?? Object.freeze({})
  tokens.set(scope, token)
  return { scope: token, requestId: scope.store.requestId as string, route: scope.route, lost: scope.lifetime?.aborted ?? false }
}
