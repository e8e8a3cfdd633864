import t from 'tap'
import { within } from '../../../lib/testing/timeout.ts'

t.test('waiting ends when the work is done or when the time passes', async (t) => {
  let stopped = 0
  const stop = (): void => { stopped++ }
  await within(60_000, (done) => {
    setImmediate(done)
    return stop
  })
  t.equal(stopped, 1)
  const start = Date.now()
  await within(20, () => stop)
  t.equal(stopped, 2)
  t.ok(Date.now() - start >= 15)
})

t.test('work that fails to start rejects and leaves no timer', async (t) => {
  await t.rejects(within(60_000, () => { throw new Error('not started') }), { message: 'not started' })
})
