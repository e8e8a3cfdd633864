import type { FastifyRequest } from 'fastify'
import type { IncomingHttpHeaders } from 'node:http'
import type { Scope } from './scope.ts'
import { readTrace, type Trace } from '../tracing/trace-context.ts'

/** Notes where in a trace a request begins: in the tracer's active span, else where its headers say. */
export function openTrace (scope: Scope, request: FastifyRequest, { traceparent, tracestate }: IncomingHttpHeaders): void {
  const { tracing, readsTrace } = scope.registration.settings
  if (tracing !== undefined) scope.trace = tracing.ofRequest(request)
  if (scope.trace === undefined && readsTrace && traceparent !== undefined) scope.trace = readTrace(traceparent, tracestate)
}

/** The place in a trace that a scope is at now: the tracer's active span, else where its root began. */
export function traceOf (scope: Scope): Trace | undefined {
  const { trace } = scope.root
  const active = scope.registration.settings.tracing?.current()
  // In the work of another request, the active span is the other's: it is in another trace.
  return active !== undefined && (trace === undefined || active.traceId === trace.traceId) ? active : trace
}
