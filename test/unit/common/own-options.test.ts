import t from 'tap'
import { ownOptions } from '../../../lib/common/own-options.ts'

t.test('ownOptions ignores what is on Object.prototype', async (t) => {
  const prototype = Object.prototype as Record<string, unknown>
  prototype.polluted = 'yes'
  t.teardown(() => { delete prototype.polluted })
  const { polluted, log } = ownOptions<{ log?: boolean, polluted?: string }>({ log: true })
  t.equal(polluted, undefined)
  t.equal(log, true)
})

t.test('an instance of a class keeps inherited options, and the nearest value of each name', async (t) => {
  class Base { get log (): boolean { return true } get locked (): boolean { return true } }
  class Policy extends Base { override get log (): boolean { return false } readonly carry = true }
  const { log, locked, carry } = ownOptions(new Policy())
  t.same([log, locked, carry], [false, true, true])
})

t.test('anything but an object is returned unchanged', async (t) => {
  for (const given of [undefined, null, 'text', 7]) t.equal(ownOptions(given), given)
})
