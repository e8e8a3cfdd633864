import type { FastifyInstance, FastifyRequest } from 'fastify'
import { correlate } from '../logging/correlate.ts'
import { kFormatters } from '../common/symbols.ts'
import { pinoSymbols } from '../logging/pino-seams.ts'
import { tieLogger } from '../logging/request-logger.ts'
import { enter } from '../scope/storage.ts'
import { logController } from './fastify-internals.ts'
import { replaceMethod } from './replace-method.ts'

/** Makes log lines have the fields of the scope in which they are written. */
export const logLines = {
  target: 'the logger of the application, and the loggerInstance that it was made from',
  property: 'Symbol(pino.asJson), Symbol(pino.mixin)',
  reason: 'a mixin repeats names and cannot be added later; pino documents its symbols for integrators, see https://github.com/pinojs/pino/blob/main/docs/api.md#pino-symbols',
  without: 'log lines lack the fields of the scope',

  available ({ log }: FastifyInstance): boolean {
    return isReadable(log)
  },

  install ({ log }: FastifyInstance): () => void {
    return correlate(log)
  }
}

/**
 * Ties the logger of each request to it before Fastify's first line: Fastify calls its log controller as soon as it has created a
 * request. A route keeps the logger factory that was set when it was declared, so wrapping the factory would miss
 * routes declared before the plugin has loaded, and Fastify would check each logger that a wrapped factory returns.
 */
export const requestLoggers = {
  target: 'the log controller of Fastify',
  property: 'incomingRequest, serviceUnavailable',
  reason: 'Fastify writes its first line before any hook; an application may replace what writes it, see https://fastify.dev/docs/latest/Reference/Server/#logcontroller',
  without: 'until the scope of a request opens, lines of request.log have the fields of the scope in which they are written',

  available (instance: FastifyInstance): boolean {
    const controller = logController(instance)
    return isReadable(instance.log) && (controller === undefined ? /^5\.\d\./.test(instance.version) : Object.isExtensible(controller))
  },

  install (instance: FastifyInstance): () => void {
    const controller = logController(instance)
    // Fastify 5.0 to 5.9 has none: loggers are tied when the scope opens.
    if (controller === undefined || pinoSymbols(instance.log) === undefined) return () => {}
    const { instances, undo } = controllers.get(controller) ?? replaceIn(controller)
    instances.add(instance)
    return () => {
      instances.delete(instance)
      if (instances.size > 0) return
      controllers.delete(controller)
      for (const revert of undo) revert()
    }
  }
}

/** The log controllers with our methods: for which instances, and how that is undone. Applications may share one, and so do the plugins of an application. */
const controllers = new WeakMap<object, { readonly instances: Set<object>, readonly undo: ReadonlyArray<() => void> }>()

function replaceIn (controller: object): { readonly instances: Set<object>, readonly undo: ReadonlyArray<() => void> } {
  const instances = new Set<object>()
  const undo = [
    replaceMethod(controller, 'incomingRequest', (before) => function (this: unknown, ...args: [FastifyRequest, ...unknown[]]) {
      const { server, log, raw } = args[0]
      if (isWithinOne(instances, server)) tieLogger(log, server.log, raw, undefined)
      return before.apply(this, args)
    }),
    replaceMethod(controller, 'serviceUnavailable', (before) => function (this: unknown, ...args: unknown[]) {
      return enter(undefined, () => before.apply(this, args) as unknown)
    })
  ]
  const replaced = { instances, undo }
  controllers.set(controller, replaced)
  return replaced
}

/** Whether the hooks of one of these instances apply in another one. */
function isWithinOne (instances: Iterable<object>, other: object): boolean {
  for (const instance of instances) if (isWithin(instance, other)) return true
  return false
}

function isWithin (instance: object, other: object): boolean {
  return instance === other || Object.prototype.isPrototypeOf.call(instance, other)
}

/** A logger other than pino is not changed: its lines have what Fastify binds, the request id. */
function isReadable (logger: object): boolean {
  return !(kFormatters in logger) || pinoSymbols(logger) !== undefined
}
