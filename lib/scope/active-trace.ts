import type { FastifyRequest } from 'fastify'
import type { IncomingHttpHeaders } from 'node:http'
import type { Scope } from './scope.ts'
import { currentScope } from './storage.ts'
import { readTrace, type Trace } from '../tracing/trace-context.ts'

/** Notes where in a trace a request begins: in the tracer's active span, else where its headers say. */
export function openTrace (scope: Scope, request: FastifyRequest, { traceparent, tracestate }: IncomingHttpHeaders): void {
  const { tracing, readsTrace } = scope.registration.settings
  if (tracing !== undefined) {
    scope.trace = tracing.requestSpan(request)
    // Of a request that another injects, what is active may be a span of the other.
    if (scope.trace !== undefined && (scope.trace !== tracing.current() || isBeside(scope)) && isFirstIn(scope.trace, scope)) labelling.add(scope)
  }
  if (scope.trace === undefined && readsTrace && traceparent !== undefined) scope.trace = readTrace(traceparent, tracestate)
}

/**
 * Notes where in a trace a job begins: in the tracer's active span. That is the job's own where no scope is around, and no other
 * job began in it: an attribute cannot be taken back.
 */
export function openJobTrace (scope: Scope): void {
  const place = scope.registration.settings.tracing?.current()
  scope.trace = place
  if (place === undefined || currentScope() !== undefined || spansOfJobs.has(place)) return
  spansOfJobs.add(place)
  labelling.add(scope)
}

/** Whether the values of a scope become attributes of the span which it began in. */
export function labelsSpan (scope: Scope): boolean {
  return labelling.has(scope)
}

/** The roots that have a span of their own. */
const labelling = new WeakSet<Scope>()

const spansOfJobs = new WeakSet<Trace>()

/** The request that began in a span. One that it injects is dispatched outside its scope, but within its span. */
const spansOfRequests = new WeakMap<Trace, Scope['lifetime']>()

function isFirstIn (place: Trace, { lifetime }: Scope): boolean {
  if (!spansOfRequests.has(place)) spansOfRequests.set(place, lifetime)
  return spansOfRequests.get(place) === lifetime
}

/** Whether no scope is around that of a request but those of other contexts of the same request. */
function isBeside ({ lifetime }: Scope): boolean {
  const around = currentScope()
  return around === undefined || around.root.lifetime === lifetime
}

/** The place in a trace that a scope is at now: the tracer's active span, else where its root began. */
export function traceOf (scope: Scope): Trace | undefined {
  const { trace } = scope.root
  const active = scope.registration.settings.tracing?.current()
  // In the work of another request, the active span is the other's: it is in another trace.
  return active !== undefined && (trace === undefined || active.traceId === trace.traceId) ? active : trace
}
