import t from 'tap'
import { gate } from '../../../lib/testing/gate.ts'

t.test('a gate is closed until it is opened, and then has the value passed first', async (t) => {
  const { promise, open } = gate<string>()
  let passed = false
  promise.then(() => { passed = true })
  await new Promise((resolve) => { setImmediate(resolve) })
  t.notOk(passed)
  open('first')
  open('second')
  t.equal(await promise, 'first')
})
