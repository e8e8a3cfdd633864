import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyRequest } from 'fastify'
import t from 'tap'
import { ContextDefinition } from '../../../lib/lifecycle/context-definition.ts'
import { NO_KEYS } from '../../../lib/config/key-policies.ts'
import { Scope } from '../../../lib/scope/scope.ts'
import type { Trace, Tracing } from '../../../lib/tracing/trace-context.ts'
import { openTrace, traceOf } from '../../../lib/scope/active-trace.ts'

const place = (traceId: string, spanId = '00f067aa0ba902b7'): Trace => ({ traceId: traceId.repeat(32), spanId, traceFlags: 1 })
const HEADER = place('a')

/** A tracer with these active and request spans. */
function tracer (current?: Trace, ofRequest?: Trace): Tracing {
  return { current: () => current, requestSpan: () => ofRequest, withParent: (_place, fn) => fn(), attributes: new Map(), setAttribute () {} }
}

const rootOf = (trace?: boolean | Tracing): Scope => new Scope({}, new ContextDefinition(NO_KEYS, trace === undefined ? {} : { trace }).registration)

/** The trace of a request with these headers. */
function opened (trace?: boolean | Tracing, headers: IncomingHttpHeaders = { traceparent: `00-${HEADER.traceId}-${HEADER.spanId}-01`, tracestate: 'foo=1' }): Trace | undefined {
  const root = rootOf(trace)
  openTrace(root, { raw: { headers } } as FastifyRequest, headers)
  return root.trace
}

t.test('a request gets its trace from its headers, unless trace is false', async (t) => {
  for (const trace of [undefined, true]) {
    const begun = opened(trace)
    t.match(begun, HEADER)
    t.equal(begun?.traceState?.serialize(), 'foo=1')
  }
  t.equal(opened(false), undefined)
  t.equal(opened(true, {}), undefined)
  t.equal(opened(true, { tracestate: 'foo=1' }), undefined, 'a state without a traceparent')
  t.equal(opened(true, { traceparent: `00-${HEADER.traceId}-${HEADER.spanId}-1` }), undefined)
})

t.test('with a tracer a request gets its trace from its span, or else from its headers', async (t) => {
  const span = place('b')
  t.equal(opened(tracer(undefined, span)), span)
  t.match(opened(tracer()), HEADER)
})

t.test('a scope has the trace of its root', async (t) => {
  const root = rootOf()
  t.equal(traceOf(root), undefined)
  root.trace = HEADER
  t.equal(traceOf(root), HEADER)
  t.equal(traceOf(new Scope(root.definition, root.registration, root)), HEADER, 'and so does a child scope')
})

t.test('with a tracer a scope has the active span, unless that span belongs to another trace', async (t) => {
  const begun = place('b')
  const at = (current: Trace | undefined, trace: Trace | undefined): Trace | undefined => {
    const root = rootOf(tracer(current))
    root.trace = trace
    return traceOf(root)
  }
  const child = place('b', 'ffffffffffffffff')
  t.equal(at(child, begun), child)
  t.equal(at(undefined, begun), begun)
  t.equal(at(place('c'), begun), begun, 'an active span of another request')
  t.equal(at(child, undefined), child, 'a scope whose root has no trace')
})
