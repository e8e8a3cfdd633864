import t from 'tap'
import { within } from '../../../lib/testing/timeout.ts'

t.test('waiting is over when it is done, or when its time is', async (t) => {
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

t.test('what cannot be started rejects, and leaves no timer', async (t) => {
  await t.rejects(within(60_000, () => { throw new Error('not started') }), { message: 'not started' })
})
