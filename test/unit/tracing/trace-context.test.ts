import t from 'tap'
import { readTrace, traceFields, writeChild, writeTrace } from '../../../lib/tracing/trace-context.ts'

// The cases come from the W3C test suite for implementations of Trace Context.

const TRACE = '12345678901234567890123456789012'
const SPAN = '1234567890123456'

t.test('a valid traceparent is read', async (t) => {
  t.same(readTrace(`00-${TRACE}-${SPAN}-01`, undefined), { traceId: TRACE, spanId: SPAN, traceFlags: 1, traceState: undefined })
  t.equal(readTrace(`00-${TRACE}-${SPAN}-00`, undefined)?.traceFlags, 0, 'not sampled')
  t.equal(readTrace(`00-${TRACE}-${SPAN}-ff`, undefined)?.traceFlags, 255, 'unknown flags')
  t.equal(readTrace(`00-${'0'.repeat(31)}1-${'0'.repeat(15)}1-01`, undefined)?.traceId, `${'0'.repeat(31)}1`)
  t.equal(readTrace('00-abcdefabcdefabcdefabcdefabcdefab-abcdefabcdefabcd-01', undefined)?.spanId, 'abcdefabcdefabcd')
})

t.test('a traceparent of a later version is read as far as it is known', async (t) => {
  for (const traceparent of [`cc-${TRACE}-${SPAN}-01`, `cc-${TRACE}-${SPAN}-01-what-the-future-will-be-like`, `cc-${TRACE}-${SPAN}-01-`, `01-${TRACE}-${SPAN}-01-x`]) {
    t.match(readTrace(traceparent, undefined), { traceId: TRACE, spanId: SPAN, traceFlags: 1 }, traceparent)
  }
})

t.test('an invalid traceparent is ignored', async (t) => {
  for (const [what, traceparent] of Object.entries({
    'no text': 1,
    missing: undefined,
    'several headers': [`00-${TRACE}-${SPAN}-01`],
    'several headers, as Node joins them': `00-${TRACE}-${SPAN}-01, 00-${TRACE}-${SPAN}-01`,
    empty: '',
    'version ff': `ff-${TRACE}-${SPAN}-01`,
    'version too short': `0-${TRACE}-${SPAN}-01`,
    'version too long': `000-${TRACE}-${SPAN}-01`,
    'version of other characters': `.0-${TRACE}-${SPAN}-01`,
    'version in upper case': `CC-${TRACE}-${SPAN}-01`,
    'version 00 with more': `00-${TRACE}-${SPAN}-01-what-the-future-will-be-like`,
    'version 00 with a dash more': `00-${TRACE}-${SPAN}-01-`,
    'a later version without a dash before more': `cc-${TRACE}-${SPAN}-01.what`,
    'a later version, too long': `cc-${TRACE}-${SPAN}-01-${'x'.repeat(512)}`,
    'trace id of zeros': `00-${'0'.repeat(32)}-${SPAN}-01`,
    'trace id of other characters': `00-.${TRACE.slice(1)}-${SPAN}-01`,
    'trace id in upper case': `00-ABCDEFABCDEFABCDEFABCDEFABCDEFAB-${SPAN}-01`,
    'trace id too long': `00-${TRACE}3-${SPAN}-01`,
    'trace id too short': `00-${TRACE.slice(1)}-${SPAN}-01`,
    'span id of zeros': `00-${TRACE}-${'0'.repeat(16)}-01`,
    'span id of other characters': `00-${TRACE}-.${SPAN.slice(1)}-01`,
    'span id in upper case': `00-${TRACE}-ABCDEFABCDEFABCD-01`,
    'span id too long': `00-${TRACE}-${SPAN}7-01`,
    'span id too short': `00-${TRACE}-${SPAN.slice(1)}-01`,
    'flags of other characters': `00-${TRACE}-${SPAN}-.0`,
    'flags in upper case': `00-${TRACE}-${SPAN}-FF`,
    'flags too long': `00-${TRACE}-${SPAN}-001`,
    'flags too short': `00-${TRACE}-${SPAN}-1`,
    'no flags': `00-${TRACE}-${SPAN}`,
    'spaces around': ` 00-${TRACE}-${SPAN}-01 `,
    'a line break after': `00-${TRACE}-${SPAN}-01\n`
  })) t.equal(readTrace(traceparent, 'foo=1'), undefined, what)
})

t.test('tracestate', async (t) => {
  const stateOf = (tracestate: unknown): string | undefined => readTrace(`00-${TRACE}-${SPAN}-00`, tracestate)?.traceState?.serialize()

  t.test('is forwarded without spaces and empty members', async (t) => {
    const key = 'abcdefghijklmnopqrstuvwxyz0123456789_-*/'
    const value = Array.from({ length: 0x5f }, (_, i) => String.fromCharCode(0x20 + i)).filter((character) => character !== ',' && character !== '=').join('')
    const members = Array.from({ length: 32 }, (_, i) => `m${i}=1`).join(',')
    for (const state of ['foo=1', 'foo=1,bar=2', `${key}=${value}`, `0${key}@a-z0-9_-*/=${value}`.slice(0, 400), `${'z'.repeat(256)}=1`, members]) t.equal(stateOf(state), state)
    t.equal(stateOf('foo=1 \t , \t bar=2, \t baz=3'), 'foo=1,bar=2,baz=3')
    t.equal(stateOf(' foo=1,, ,bar=2,'), 'foo=1,bar=2')
    t.equal(stateOf('foo=1,bar=2,foo=3,foo@a=4,bar=2'), 'foo=1,bar=2,foo@a=4', 'of a duplicate name, the one added last, which comes first')
    t.equal(stateOf(`foo=${'x'.repeat(256)}`), `foo=${'x'.repeat(256)}`)
  })

  t.test('is dropped if it is invalid or longer than the required limit, and the trace continues', async (t) => {
    for (const [what, state] of Object.entries({
      none: undefined,
      empty: '',
      'no member': ' , ',
      'no text': ['foo=1'],
      'no value': 'foo=,bar=1',
      'no equals sign': 'foo',
      'a space in a key': 'foo =1',
      'upper case in a key': 'FOO=1',
      'other characters in a key': 'foo.bar=1',
      'a vendor without a name': 'foo@=1,bar=2',
      'a tenant without a name': '@foo=1,bar=2',
      'two vendors': 'foo@@bar=1,bar=2',
      'a vendor too long': `foo@${'v'.repeat(15)}=1`,
      'a key too long': `${'z'.repeat(257)}=1`,
      'a value too long': `foo=${'x'.repeat(257)}`,
      'an equals sign in a value': 'foo=bar=baz',
      'control characters': 'foo=1\r\nx: y',
      'other characters': 'foo=ä',
      '33 members': Array.from({ length: 33 }, (_, i) => `m${i}=1`).join(','),
      'more than 512 characters': `a=${'x'.repeat(256)},b=${'x'.repeat(254)}`
    })) {
      t.equal(stateOf(state), undefined, what)
      t.equal(readTrace(`00-${TRACE}-${SPAN}-00`, state)?.traceId, TRACE)
    }
  })
})

t.test('a trace context is written as version 00, with its flags', async (t) => {
  const place = { traceId: TRACE, spanId: SPAN }
  for (const [flags, written] of [[0, '00'], [1, '01'], [2, '02'], [3, '03'], [255, '03'], [4, '00']] as const) {
    t.equal(writeTrace({ ...place, traceFlags: flags }), `00-${TRACE}-${SPAN}-${written}`)
  }
})

t.test('each outgoing call gets its own span id', async (t) => {
  const written = Array.from({ length: 50 }, () => writeChild({ traceId: TRACE, spanId: SPAN, traceFlags: 1 }))
  for (const traceparent of written) t.match(readTrace(traceparent, undefined), { traceId: TRACE, spanId: /^(?!0{16})[0-9a-f]{16}$/, traceFlags: 1 })
  t.equal(new Set([SPAN, ...written]).size, 51)
})

t.test('log lines name the trace as OpenTelemetry does', async (t) => {
  t.same(traceFields({ traceId: TRACE, spanId: SPAN, traceFlags: 1 }), { trace_id: TRACE, span_id: SPAN, trace_flags: '01' })
  t.equal(traceFields({ traceId: TRACE, spanId: SPAN, traceFlags: 255 }).trace_flags, 'ff')
})
