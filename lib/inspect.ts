/**
 * Shows what is in flight, as a page and as JSON: requests, runs and detached work, with the fields of their log lines.
 *
 * @module fastify-ctx/inspect
 */
import type { FastifyInstance, FastifyPluginAsync, FastifyReply } from 'fastify'
import { FST_CTX_INSPECT_NO_CONTEXT } from './common/errors.ts'
import { kRegistered } from './common/symbols.ts'
import { startTally } from './scope/tally.ts'
import { readOptions, type InspectOptions } from './inspect/options.ts'
import { HEADERS, PAGE, PAGE_HEADERS } from './inspect/page.ts'
import { reportOf } from './inspect/report.ts'
import type { Registered } from './plugin.ts'

/**
 * Shows what is in flight in the contexts registered in this instance or a parent: a page at `path`, and the same as JSON at
 * `path` plus `/data`. It starts the count of `ctx.inFlight` and shows what opens from then on, so register it before `listen`.
 *
 * @throws FST_CTX_INSPECT_UNGUARDED neither `preHandler` nor `unsafe` is given
 * @throws FST_CTX_INSPECT_NO_CONTEXT no context is registered here
 * @throws FST_CTX_INVALID_OPTION an option that does not exist, or is of the wrong type
 * @example
 * await app.register(inspect, { path: '/_ctx', preHandler: requireAdmin })
 */
const inspect: FastifyPluginAsync<InspectOptions> = async function fastifyCtxInspect (instance: FastifyInstance, given) {
  const { path, preHandler } = readOptions(given)
  const registered = (instance as Registered)[kRegistered]
  if (registered === undefined) throw new FST_CTX_INSPECT_NO_CONTEXT()
  for (const definition of registered.keys()) startTally(definition)
  // Tools that document the routes of an application leave these out.
  const options = { preHandler, exposeHeadRoute: false, schema: { hide: true } as object }
  instance.get(path, options, (_request, reply: FastifyReply) => { reply.headers(PAGE_HEADERS).send(PAGE) })
  instance.get(`${path.replace(/\/$/, '')}/data`, options, (_request, reply: FastifyReply) => { reply.headers(HEADERS).send(JSON.stringify(reportOf(registered))) })
}

export default inspect

export type { Guard, InspectOptions } from './inspect/options.ts'
export type { InspectedContext, InspectedProcess, Report } from './inspect/report.ts'
export type { PatchState } from './patches/index.ts'
export type { InFlight, InFlightCounts, OpenScope } from './api/in-flight.ts'
export type { PolicyRow } from './api/explain.ts'
