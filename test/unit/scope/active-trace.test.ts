import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyRequest } from 'fastify'
import t from 'tap'
import { ContextDefinition } from '../../../lib/lifecycle/context-definition.ts'
import { NO_KEYS } from '../../../lib/config/key-policies.ts'
import { Scope } from '../../../lib/scope/scope.ts'
import { readSettings } from '../../../lib/config/options.ts'
import type { Trace, Tracing } from '../../../lib/tracing/trace-context.ts'
import { openTrace, traceOf } from '../../../lib/scope/active-trace.ts'

const place = (traceId: string, spanId = '00f067aa0ba902b7'): Trace => ({ traceId: traceId.repeat(32), spanId, traceFlags: 1 })
const HEADER = place('a')

/** A tracer at the places given. */
function tracer (current?: Trace, ofRequest?: Trace): Tracing {
  return { current: () => current, requestSpan: () => ofRequest, withParent: (_place, fn) => fn(), attributes: new Map(), setAttribute () {} }
}

const rootOf = (trace?: boolean | Tracing): Scope => new Scope({}, new ContextDefinition(NO_KEYS, readSettings(trace === undefined ? {} : { trace }, NO_KEYS)).registration)

/** Where a request with these headers begins. */
function opened (trace?: boolean | Tracing, headers: IncomingHttpHeaders = { traceparent: `00-${HEADER.traceId}-${HEADER.spanId}-01`, tracestate: 'foo=1' }): Trace | undefined {
  const root = rootOf(trace)
  openTrace(root, { raw: { headers } } as FastifyRequest, headers)
  return root.trace
}

t.test('a request begins where its headers say, unless they are not to be read', async (t) => {
  for (const trace of [undefined, true]) {
    const begun = opened(trace)
    t.match(begun, HEADER)
    t.equal(begun?.traceState?.serialize(), 'foo=1')
  }
  t.equal(opened(false), undefined)
  t.equal(opened(true, {}), undefined)
  t.equal(opened(true, { tracestate: 'foo=1' }), undefined, 'a state without a place')
  t.equal(opened(true, { traceparent: `00-${HEADER.traceId}-${HEADER.spanId}-1` }), undefined)
})

t.test('with a tracer it begins in its span, and where that has none, where the headers say', async (t) => {
  const span = place('b')
  t.equal(opened(tracer(undefined, span)), span)
  t.match(opened(tracer()), HEADER)
})

t.test('a scope is where its root began', async (t) => {
  const root = rootOf()
  t.equal(traceOf(root), undefined)
  root.trace = HEADER
  t.equal(traceOf(root), HEADER)
  t.equal(traceOf(new Scope(root.definition, root.registration, root)), HEADER, 'and one below it, too')
})

t.test('with a tracer it is at the active span, unless that is of another trace', async (t) => {
  const begun = place('b')
  const at = (current: Trace | undefined, trace: Trace | undefined): Trace | undefined => {
    const root = rootOf(tracer(current))
    root.trace = trace
    return traceOf(root)
  }
  const child = place('b', 'ffffffffffffffff')
  t.equal(at(child, begun), child)
  t.equal(at(undefined, begun), begun)
  t.equal(at(place('c'), begun), begun, "another request's work")
  t.equal(at(child, undefined), child, 'a scope that began in none')
})
