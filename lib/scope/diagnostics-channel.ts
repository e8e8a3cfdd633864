import { channel } from 'node:diagnostics_channel'
import type { Scope } from './scope.ts'
import { enter } from './storage.ts'
import { tallyOf } from './tally.ts'

/**
 * The message that the channels `fastify-ctx:open` and `fastify-ctx:end` of `node:diagnostics_channel` publish for each request and for
 * each `ctx.run` that is a root. Subscribers run in the scope, where `ctx.get` returns its values, at the end for the last time.
 *
 * @example
 * diagnostics_channel.subscribe('fastify-ctx:end', (message) => { apm.tag('tenant', ctx.get('tenant')) })
 */
export interface ScopeMessage {
  /** An empty object, the same for the opening and the end of one scope: a key for a WeakMap. */
  readonly scope: object
  /** The id of the request or job. */
  readonly requestId: string
  /** The pattern of the route. `undefined` outside a request. */
  readonly route: string | undefined
  /** Whether the client disconnected before it had the response. */
  readonly lost: boolean
}

const opened = channel('fastify-ctx:open')
const ended = channel('fastify-ctx:end')

/** Publishes that a root has opened. */
export function publishOpen (scope: Scope): void {
  tallyOf(scope.definition)?.open(scope)
  if (opened.hasSubscribers) enter(scope.store, () => { opened.publish(messageOf(scope)) })
}

/** Publishes that a root ends. Its values are still there. */
export function publishEnd (scope: Scope): void {
  tallyOf(scope.definition)?.end(scope)
  if (ended.hasSubscribers) enter(scope.store, () => { ended.publish(messageOf(scope)) })
}

/** The empty object that represents a scope in messages, because subscribers print and serialize what they get. */
const tokens = new WeakMap<Scope, object>()

function messageOf (scope: Scope): ScopeMessage {
  const token = tokens.get(scope) ?? Object.freeze({})
  tokens.set(scope, token)
  return { scope: token, requestId: scope.store.requestId as string, route: scope.route, lost: scope.lifetime?.aborted ?? false }
}
