import type { FastifyRequest } from 'fastify'
import type { IncomingHttpHeaders } from 'node:http'
import type { Scope } from './scope.ts'
import { currentScope } from './storage.ts'
import { readTrace, type Trace } from '../tracing/trace-context.ts'

/** Records where a request begins in a trace: in the tracer's active span, or else where its headers say. */
export function openTrace (scope: Scope, request: FastifyRequest, { traceparent, tracestate }: IncomingHttpHeaders): void {
  const { tracing, readsTrace } = scope.registration.settings
  if (tracing !== undefined) {
    scope.trace = tracing.requestSpan(request)
    // If another request injects this one, the active span may be a span of the other request.
    if (scope.trace !== undefined && (scope.trace !== tracing.current() || isBeside(scope)) && isFirstIn(scope.trace, scope)) labelling.add(scope)
  }
  if (scope.trace === undefined && readsTrace && traceparent !== undefined) scope.trace = readTrace(traceparent, tracestate)
}

/**
 * Records where a job begins in a trace: in the tracer's active span. The span is the job's own if there is no scope around and no
 * other job began in it. This matters because an attribute cannot be removed.
 */
export function openJobTrace (scope: Scope): void {
  const place = scope.registration.settings.tracing?.current()
  scope.trace = place
  if (place === undefined || currentScope() !== undefined || spansOfJobs.has(place)) return
  spansOfJobs.add(place)
  labelling.add(scope)
}

/** Whether the values of a scope become attributes of the span in which it began. */
export function labelsSpan (scope: Scope): boolean {
  return labelling.has(scope)
}

/** The roots with their own span. */
const labelling = new WeakSet<Scope>()

const spansOfJobs = new WeakSet<Trace>()

/** The request that began in a span. A request that it injects is dispatched outside its scope, but in its span. */
const spansOfRequests = new WeakMap<Trace, Scope['lifetime']>()

function isFirstIn (place: Trace, { lifetime }: Scope): boolean {
  if (!spansOfRequests.has(place)) spansOfRequests.set(place, lifetime)
  return spansOfRequests.get(place) === lifetime
}

/** Whether only scopes of the same request are around its scope. */
function isBeside ({ lifetime }: Scope): boolean {
  const around = currentScope()
  return around === undefined || around.root.lifetime === lifetime
}

/** The current place of a scope in a trace: the tracer's active span, or else the place where its root began. */
export function traceOf (scope: Scope): Trace | undefined {
  const { trace } = scope.root
  const active = scope.registration.settings.tracing?.current()
  // In the work of another request the active span belongs to that request, and is in another trace.
  return active !== undefined && (trace === undefined || active.traceId === trace.traceId) ? active : trace
}
