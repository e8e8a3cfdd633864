import t from 'tap'
import { turns, warnings } from '../../support/support.ts'
import { callSite, warnOnce } from '../../../lib/common/warnings.ts'

t.test('a warning is told once for each code and subject, with its code and its detail', async (t) => {
  const a = warnings(t, 'FST_TEST_A')
  const b = warnings(t, 'FST_TEST_B')
  warnOnce('FST_TEST_A', 'x', 'first')
  warnOnce('FST_TEST_A', 'x', 'again')
  warnOnce('FST_TEST_A', 'y', 'other subject', 'where it was')
  warnOnce('FST_TEST_B', 'x', 'other code')
  await turns()
  t.same(a.map(({ name, message }) => `${name}: ${message}`), ['FastifyCtxWarning: first', 'FastifyCtxWarning: other subject'])
  t.same(a.map((warning) => (warning as { detail?: string }).detail), [undefined, 'where it was'])
  t.same(b.map(({ message }) => message), ['other code'])
})

t.test('subjects that a client can multiply end somewhere', async (t) => {
  const seen = warnings(t, 'FST_TEST_MANY')
  const { emitWarning } = process
  t.teardown(() => { process.emitWarning = emitWarning })
  let told = 0
  process.emitWarning = (() => { told++ }) as typeof emitWarning
  for (let i = 0; i < 5000; i++) warnOnce('FST_TEST_MANY', `subject ${i}`, 'many')
  await turns()
  t.ok(told > 0 && told <= 1000, `${told} of 5000`)
  t.same(seen, [])
})

t.test('callSite: the line of the caller; nothing where the stack has none, or there is no stack', async (t) => {
  t.match(callSite(), /^ at .*warnings\.test\.ts:\d+:\d+\)?$/)
  const { stackTraceLimit } = Error
  t.teardown(() => { Error.stackTraceLimit = stackTraceLimit })
  Error.stackTraceLimit = 0
  t.equal(callSite(), '')
  Error.stackTraceLimit = undefined as never
  t.equal(callSite(), '')
})
