import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { turns, warnings } from '../../support/support.ts'
import { callSite, placeOf, warn, warningCounts, warnOnce } from '../../../lib/common/warnings.ts'

t.test('a warning is emitted once per code and subject, with its code and detail', async (t) => {
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

t.test('a code emits at most 100 different warnings, the last one says so, and other codes are still emitted', async (t) => {
  const messages: string[] = []
  const { emitWarning } = process
  t.teardown(() => { process.emitWarning = emitWarning })
  process.emitWarning = ((message: string) => { messages.push(message) }) as typeof emitWarning
  for (let i = 0; i < 5000; i++) warnOnce('FST_TEST_MANY', `subject ${i}`, `many ${i}`)
  t.equal(messages.length, 100)
  t.equal(messages[98], 'many 98')
  t.equal(messages[99], 'many 99 (the last of 100 different warnings with this code)')
  warnOnce('FST_TEST_OTHER', 'x', 'other')
  t.equal(messages[100], 'other')
})

t.test('only a hash of each subject is kept', async (t) => {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc') as () => void
  const { emitWarning } = process
  t.teardown(() => { process.emitWarning = emitWarning })
  process.emitWarning = () => {}
  gc()
  const before = process.memoryUsage().heapUsed
  for (let i = 0; i < 90; i++) warnOnce('FST_TEST_FAT', `${'x'.repeat(1_000_000)}${i}`.slice(1), 'fat')
  gc()
  const kept = process.memoryUsage().heapUsed - before
  t.ok(kept < 5_000_000, `${kept} bytes of 90,000,000`)
})

t.test('placeOf returns the place of an error without its message', async (t) => {
  const secret = 'canary\n    at canary (canary.ts:1:1)\n    at canary'
  t.match(placeOf(new Error('short')), /^at .*warnings\.test\.ts:\d+:\d+\)?$/)
  t.match(placeOf(new Error(secret)), /^at .*warnings\.test\.ts:\d+:\d+\)?$/)
  for (const message of ['other', 'canary']) {
    const error = new Error(`${secret}\ncanary\n${secret} x`)
    // The stack is written when it is first read.
    t.match(error.stack, 'canary')
    t.notMatch(placeOf(Object.assign(error, { message })), /canary/)
  }
  t.equal(placeOf(Object.assign(new Error('gone'), { stack: undefined })), undefined)
  t.equal(placeOf(secret), undefined)
  t.equal(placeOf(Object.assign(new Error('native'), { stack: 'Error: native\n    at native' })), undefined, 'no line names a file')
  t.equal(placeOf(Object.defineProperty(new Error('x'), 'stack', { get () { throw new Error('looked at') } })), undefined)
})

t.test('warn emits each time', async (t) => {
  const seen = warnings(t, 'FST_TEST_EACH')
  for (let i = 0; i < 2; i++) warn('FST_TEST_EACH', 'again')
  await turns()
  t.same(seen.map(({ message }) => message), ['again', 'again'])
})

t.test('callSite returns the line that called the outermost entrance, even if it is minified and in the same file', async (t) => {
  const inner = (): string => callSite([inner, outer, another])
  const outer = (): string => inner()
  const another = (): string => ''
  const here = new Error().stack!.split('\n')[1]!.replace(/:\d+\)?$/, '').replace(/^.*[/\\]/, '').replace(/\d+$/, (line) => String(Number(line) + 1))
  const site = outer()
  t.ok(site.includes(here), `${site} names ${here}`)
})

t.test('callSite returns undefined if no entrance was called or there is no stack', async (t) => {
  const entrance = (): string => callSite([entrance])
  t.equal(callSite([entrance]), '')
  const { stackTraceLimit } = Error
  t.teardown(() => { Error.stackTraceLimit = stackTraceLimit })
  Error.stackTraceLimit = 0
  t.equal(entrance(), '')
  Error.stackTraceLimit = undefined as never
  t.equal(entrance(), '')
})

t.test('a message function is called only if the warning is emitted', async (t) => {
  const seen = warnings(t, 'FST_TEST_LAZY')
  let made = 0
  for (let i = 0; i < 3; i++) warnOnce('FST_TEST_LAZY', 'x', () => `made ${++made} times`)
  await turns()
  t.same(seen.map(({ message }) => message), ['made 1 times'])
})

t.test('warningCounts returns how often each code was emitted', async (t) => {
  const before = warningCounts().FST_TEST_COUNTED ?? 0
  const seen = warnings(t, 'FST_TEST_COUNTED')
  for (let i = 0; i < 3; i++) warn('FST_TEST_COUNTED', 'counted')
  warnOnce('FST_TEST_COUNTED', 'subject', 'counted')
  warnOnce('FST_TEST_COUNTED', 'subject', 'counted')
  while (seen.length < 4) await turns()
  t.equal(warningCounts().FST_TEST_COUNTED! - before, 4)
})
