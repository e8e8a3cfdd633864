import type { FastifyInstance, FastifyReply } from 'fastify'
import { symbolOf } from '../common/symbols.ts'
import { resumeWithin } from '../lifecycle/reentry.ts'
import { lifetimeOfRaw } from '../lifecycle/carrier.ts'
import type { RequestLifetime } from '../lifecycle/request-lifetime.ts'
import { watchStream } from './streams.ts'

type Send = (this: FastifyReply, payload?: unknown) => FastifyReply

/**
 * Makes `reply.send` run what it calls in the scope of the request, whatever code calls it: hooks, serializers, the error
 * handler. As a decorator, it is a method of the replies of this application only; Fastify's own, which all applications
 * of the process share, stays as it is.
 */
export const replySend = {
  target: 'the replies of the application',
  property: 'send',
  reason: 'reply.send runs hooks and serializers where it is called, see https://fastify.dev/docs/latest/Reference/Reply/#senddata',
  without: 'what reply.send calls runs outside the scope where a shared callback calls reply.send',

  /** Whether no other plugin has decorated replies with a `send` of its own here. */
  available (instance: FastifyInstance): boolean {
    const prototype = replyPrototype(instance)
    return prototype === undefined || !Object.hasOwn(prototype, 'send')
  },

  install (instance: FastifyInstance): () => void {
    let above: { readonly send: Send } | undefined
    function send (this: FastifyReply, payload?: unknown): FastifyReply {
      above ??= prototypeAbove(this, send)
      const lifetime = lifetimeOfRaw(this.raw)
      return lifetime?.reenters === true ? resumeWithin(lifetime, sendNow, this, above.send, payload, lifetime) : above.send.call(this, payload)
    }
    instance.decorateReply('send', send as never)
    // Fastify takes no decorator back. Where its prototype is not found, the decorator stays, and calls what is above it.
    return () => { Reflect.deleteProperty(replyPrototype(instance) ?? {}, 'send') }
  }
}

/** The same for a reply whose `send` a hook before the plugin has replaced. */
export function wrapOwnSend (reply: FastifyReply): void {
  if (!Object.hasOwn(reply, 'send')) return
  const { send } = reply
  reply.send = function (payload) {
    return resumeWithin(lifetimeOfRaw(this.raw)!, () => send.call(this, payload))
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

/** What a reply inherits from above the prototype that has our method. */
function prototypeAbove (reply: object, send: unknown): { readonly send: Send } {
  let holder = reply as { send: Send }
  while (!Object.hasOwn(holder, 'send') || holder.send !== send) holder = Object.getPrototypeOf(holder) as { send: Send }
  return Object.getPrototypeOf(holder) as { send: Send }
}
