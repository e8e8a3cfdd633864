import { AsyncResource } from 'node:async_hooks'
import type { FastifyInstance, FastifyRequest, onRequestHookHandler } from 'fastify'

export type Style = 'callback' | 'async'
export const STYLES: readonly Style[] = ['callback', 'async']

/** The phases of a successful request, in order. */
export const PHASES = ['onRequest', 'preParsing', 'preValidation', 'preHandler', 'preSerialization', 'onSend', 'onResponse'] as const
export type Phase = typeof PHASES[number] | 'onError' | 'onTimeout' | 'onRequestAbort'

type Done = (...results: unknown[]) => void
type Act = (request: FastifyRequest) => unknown

/** The position of the callback in the arguments of a hook. */
const CALLBACK_AT: Readonly<Record<Phase, 1 | 2 | 3>> = {
  onRequest: 2, preParsing: 3, preValidation: 2, preHandler: 2, preSerialization: 3, onSend: 3, onResponse: 2, onError: 3, onTimeout: 2, onRequestAbort: 1
}

/** A hook that calls `act`, waits for its result, and continues. */
export function makeHook (phase: Phase, style: Style, act: Act): onRequestHookHandler {
  const keepsPayload = CALLBACK_AT[phase] === 3 && phase !== 'onError'
  if (style === 'async') {
    const run = async (request: FastifyRequest, _reply?: unknown, payload?: unknown): Promise<unknown> => {
      await act(request)
      return keepsPayload ? payload : undefined
    }
    const hooks = {
      1: (request: FastifyRequest) => run(request),
      2: (request: FastifyRequest, reply: unknown) => run(request, reply),
      3: (request: FastifyRequest, reply: unknown, payload: unknown) => run(request, reply, payload)
    }
    return asHook(hooks[CALLBACK_AT[phase]])
  }
  return makeCallbackHook(phase, (request, done) => {
    const acted = act(request)
    if (acted instanceof Promise) acted.then(() => { done() }, done)
    else done()
  })
}

/** A hook that calls `act`, which calls `done` at any time. */
export function makeCallbackHook (phase: Phase, act: (request: FastifyRequest, done: Done) => void): onRequestHookHandler {
  const hooks = {
    1: (request: FastifyRequest, done: Done) => { act(request, done) },
    2: (request: FastifyRequest, _reply: unknown, done: Done) => { act(request, done) },
    3: (request: FastifyRequest, _reply: unknown, _payload: unknown, done: Done) => { act(request, done) }
  }
  return asHook(hooks[CALLBACK_AT[phase]])
}

export function addHook (app: FastifyInstance, phase: Phase, hook: onRequestHookHandler): void {
  app.addHook(phase as 'onRequest', hook)
}

/** Gives hooks of all phases one type. They differ only in their arguments. */
function asHook (hook: (...args: never[]) => unknown): onRequestHookHandler {
  return hook as onRequestHookHandler
}

/**
 * A pool like those of older drivers: the code of one request runs the callback of another, and the reverse.
 * Returns `resume`, which waits until both requests have passed in a callback.
 */
export function callbackPool (): (callback: () => void) => void {
  const waiting: Array<{ callback: () => void, within: (fn: () => void) => void }> = []
  return (callback) => {
    waiting.push({ callback, within: AsyncResource.bind((fn: () => void) => { fn() }) })
    if (waiting.length < 2) return
    const [first, second] = waiting.splice(0, 2) as [typeof waiting[0], typeof waiting[0]]
    first.within(second.callback)
    second.within(first.callback)
  }
}
