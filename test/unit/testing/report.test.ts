import { AssertionError } from 'node:assert'
import { inspect } from 'node:util'
import t from 'tap'
import type { Found } from '../../../lib/testing/crossing.ts'
import { crossingError, unansweredError, type Run } from '../../../lib/testing/report.ts'
import { SentRequest } from '../../../lib/testing/sent-request.ts'

const canaryOf = (number: number): string => `canary-${number}`
const request = (number: number): Found['reader'] => ({ number, method: 'GET', url: `/of/${canaryOf(number)}`, route: '/of/:tenant', canary: canaryOf(number) })
const found = (more: Partial<Found>): Found => ({
  reader: request(1), owner: request(2), where: 'body', at: 'rows[0].tenant', excerpt: '{"tenant":"<canary of 2>"}', logger: undefined, line: undefined, index: 0, ...more
})

function caller (fails: (run: Run) => Error): Error {
  return fails({ sent: 48, seed: 7, caller: caller as never, again: 'assertIsolated(app, requests, { seed: 7 })' })
}

t.test('the report says who saw whose value, where, at which route and line, and how to repeat the run', async (t) => {
  const error = caller((run) => crossingError([found({ line: 'handler (/app/routes.js:12:7)' })], run))
  t.ok(error instanceof AssertionError)
  t.equal(error.message, `1 value crossed between 48 requests (seed 7)

1. request 1, GET /of/<its canary>, saw the value of request 2, GET /of/<its canary>
   in the body of its answer, at rows[0].tenant: {"tenant":"<canary of 2>"}
   route /of/:tenant
   at handler (/app/routes.js:12:7)

The canaries:
   1: canary-1
   2: canary-2

The same requests in the same order: assertIsolated(app, requests, { seed: 7 })`)
})

t.test('each place of a crossing has its own wording', async (t) => {
  const { message } = caller((run) => crossingError([
    found({ where: 'header', at: 'x-tenant' }),
    found({ where: 'log', at: 'reading orders', logger: "info, logger 'audit'", reader: { ...request(3), route: undefined } }),
    found({ where: 'value', at: 'tenant' })
  ], run))
  t.match(message, /^3 values crossed/)
  t.match(message, /in the header x-tenant of its answer: /)
  t.match(message, /on its log line "reading orders" \(info, logger 'audit'\): /)
  t.match(message, /in its scope, as 'tenant': /)
  t.equal(message.split('route /of/:tenant').length, 3, 'if there is one')
})

t.test('crossings that differ only in a list index are reported once, and at most ten kinds', async (t) => {
  const alike = Array.from({ length: 14 }, (_, i) => found({ reader: request(i + 3), at: `rows[${i}].tenant` }))
  t.match(caller((run) => crossingError(alike.slice(0, 2), run)).message, /and so did another: 4 that of 2\n/)
  t.match(caller((run) => crossingError(alike, run)).message, /and so did 13 others: 4 that of 2, .* 13 that of 2…\n/)
  const kinds = Array.from({ length: 12 }, (_, i) => found({ where: 'header', at: `x-${i}` }))
  const { message } = caller((run) => crossingError(kinds, run))
  t.match(message, /\n\n10\. /)
  t.notMatch(message, /\n\n11\. /)
  t.match(message, /\n\nand 2 kinds more\n/)
})

t.test('the error has the seed and the crossings, which test runners do not print, and a stack that starts at the caller', async (t) => {
  const error = caller((run) => crossingError([found({})], run)) as Error & { seed: number, crossings: unknown[] }
  t.equal(error.seed, 7)
  const { index, ...crossing } = found({})
  t.same(error.crossings, [crossing])
  t.notMatch(inspect(error), /crossings: /)
  t.match(error.stack!.slice(error.stack!.indexOf('    at ')), /^ {4}at .*report\.test\.ts/)
})

t.test('requests without an answer are named with the reason', async (t) => {
  const requests = Array.from({ length: 11 }, (_, i) => new SentRequest(i + 1, '', { url: '/' }, 0, { pieces: [], chunked: false, wait: 0 }))
  for (const sent of requests) sent.failure = new Error('socket hang up')
  const error = caller((run) => unansweredError(requests, run))
  t.match(error.message, /^11 of 48 requests had no answer, and were not checked \(seed 7\)\n\nrequest 1, GET \/: socket hang up\n/)
  t.notMatch(error.message, 'request 11')
  t.match(error, { seed: 7, crossings: [], cause: { message: 'socket hang up' } })
})
