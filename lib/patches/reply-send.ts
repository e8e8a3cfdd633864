import type { FastifyInstance, FastifyReply } from 'fastify'
import { resumeWithin } from '../lifecycle/reentry.ts'
import { lifeOfRaw } from '../lifecycle/carrier.ts'
import type { RequestLifetime } from '../lifecycle/request-lifetime.ts'
import { watchStream } from './streams.ts'

type Send = (this: FastifyReply, payload?: unknown) => FastifyReply

/**
 * Makes `reply.send` run what it calls in the scope of the request, whatever code calls it: hooks, serializers, the error
 * handler. As a decorator, it is a method of the replies of this application only; Fastify's own, which all applications
 * of the process share, stays as it is.
 */
export function decorateSend (instance: FastifyInstance): void {
  let above: { readonly send: Send } | undefined
  function send (this: FastifyReply, payload?: unknown): FastifyReply {
    above ??= prototypeAbove(this, send)
    const life = lifeOfRaw(this.raw)
    return life === undefined ? above.send.call(this, payload) : resumeWithin(life, sendNow, this, above.send, payload, life)
  }
  instance.decorateReply('send', send as never)
}

/** The same for a reply whose `send` a hook before the plugin has replaced. */
export function wrapOwnSend (reply: FastifyReply): void {
  if (!Object.hasOwn(reply, 'send')) return
  const { send } = reply
  reply.send = function (payload) {
    return resumeWithin(lifeOfRaw(this.raw)!, () => send.call(this, payload))
  }
}

function sendNow (reply: FastifyReply, send: Send, payload: unknown, life: RequestLifetime): FastifyReply {
  watchStream(payload, life)
  send.call(reply, payload)
  life.endLater()
  return reply
}

/** What a reply inherits from above the prototype that has our method. */
function prototypeAbove (reply: object, send: unknown): { readonly send: Send } {
  let holder = reply as { send: Send }
  while (!Object.hasOwn(holder, 'send') || holder.send !== send) holder = Object.getPrototypeOf(holder) as { send: Send }
  return Object.getPrototypeOf(holder) as { send: Send }
}
