import type { FastifyInstance, FastifyReply } from 'fastify'
import { symbolOf } from '../common/symbols.ts'
import { resumeWithin } from '../lifecycle/reentry.ts'
import { lifetimeOf } from '../lifecycle/carrier.ts'
import type { RequestLifetime } from '../lifecycle/request-lifetime.ts'
import { isReplacing, markReplacing } from './replace-method.ts'
import { watchStream } from './streams.ts'

type Send = (this: FastifyReply, payload?: unknown) => FastifyReply

/**
 * Makes `reply.send` run hooks, serializers and the error handler in the scope of the request, whichever code calls it. As a
 * decorator, it is a method of this application's replies only. Fastify's own method, which all applications of the process
 * share, does not change.
 */
export const replySend = {
  target: 'the replies of the application',
  property: 'send',
  reason: 'reply.send runs hooks and serializers where it is called, see https://fastify.dev/docs/latest/Reference/Reply/#senddata',
  without: 'code called by reply.send runs outside the scope if a shared callback calls reply.send',

  /** Whether no other plugin has decorated replies with its own `send` here. */
  available (instance: FastifyInstance): boolean {
    const prototype = replyPrototype(instance)
    return prototype === undefined || !Object.hasOwn(prototype, 'send')
  },

  install (instance: FastifyInstance): () => void {
    let above: { readonly send: Send } | undefined
    function send (this: FastifyReply, payload?: unknown): FastifyReply {
      above ??= prototypeAbove(this, send)
      const lifetime = lifetimeOf(this.request)
      return lifetime?.reenters === true ? resumeWithin(lifetime, sendNow, this, above.send, payload, lifetime) : above.send.call(this, payload)
    }
    instance.decorateReply('send', markReplacing(send) as never)
    // Fastify cannot remove a decorator. If its prototype is not found, the decorator stays and calls the method above it.
    return () => { Reflect.deleteProperty(replyPrototype(instance) ?? {}, 'send') }
  }
}

/** The same for a reply whose `send` was replaced by a hook before the plugin. */
export function wrapOwnSend (reply: FastifyReply): void {
  if (isReplacing(reply.send) || !Object.hasOwn(reply, 'send')) return
  const { send } = reply
  reply.send = function (payload) {
    return resumeWithin(lifetimeOf(this.request)!, () => send.call(this, payload))
  }
}

function replyPrototype (instance: FastifyInstance): object | undefined {
  const symbol = symbolOf(instance, 'fastify.Reply')
  return symbol === undefined ? undefined : (instance as unknown as Record<symbol, { readonly prototype: object }>)[symbol]!.prototype
}

function sendNow (reply: FastifyReply, send: Send, payload: unknown, lifetime: RequestLifetime): FastifyReply {
  watchStream(payload, lifetime)
  send.call(reply, payload)
  lifetime.endLater()
  return reply
}

/** The method that a reply inherits from above the prototype with ours. */
function prototypeAbove (reply: object, send: unknown): { readonly send: Send } {
  let holder = reply as { send: Send }
  while (!Object.hasOwn(holder, 'send') || holder.send !== send) holder = Object.getPrototypeOf(holder) as { send: Send }
  return Object.getPrototypeOf(holder) as { send: Send }
}
