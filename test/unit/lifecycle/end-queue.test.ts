import t from 'tap'
import { EndQueue } from '../../../lib/lifecycle/end-queue.ts'
import { turns } from '../../support/support.ts'

t.test('what ends in one turn is looked at in the next, by one callback', async (t) => {
  const seen: string[] = []
  let scheduled = 0
  const queue = new EndQueue((callback) => { scheduled++; setImmediate(callback) })
  queue.add({ tryToEnd () { seen.push('first'); queue.add({ tryToEnd () { seen.push('third') } }) } })
  queue.add({ tryToEnd () { seen.push('second') } })
  t.same(seen, [])
  await turns()
  t.same(seen, ['first', 'second', 'third'])
  t.equal(scheduled, 2)
})

t.test('what closes an application does not wait for the turn: each is looked at once', async (t) => {
  const seen: string[] = []
  const queue = new EndQueue()
  queue.add({ tryToEnd () { seen.push('first') } })
  queue.drain()
  t.same(seen, ['first'])
  queue.add({ tryToEnd () { seen.push('second') } })
  await turns()
  t.same(seen, ['first', 'second'])
})

t.test('a turn that never comes, as with faked timers: what is added later does what it should have done', async (t) => {
  let ends = 0
  const queue = new EndQueue(() => {})
  const add = (): void => { queue.add({ tryToEnd () { ends++ } }) }
  for (let i = 0; i < 31; i++) add()
  t.equal(ends, 0)
  await new Promise((resolve) => { setTimeout(resolve, 120) })
  add()
  t.equal(ends, 32)
})

t.test('an end that throws stops no other, and is reported', async (t) => {
  const before = process.listeners('uncaughtException')
  process.removeAllListeners('uncaughtException')
  const thrown = new Promise((resolve) => { process.once('uncaughtException', resolve) })
  t.teardown(() => { for (const listener of before) process.on('uncaughtException', listener) })
  let ended = false
  const queue = new EndQueue()
  queue.add({ tryToEnd () { throw new Error('broken') } })
  queue.add({ tryToEnd () { ended = true } })
  t.match(await thrown, { message: 'broken' })
  t.equal(ended, true)
})
