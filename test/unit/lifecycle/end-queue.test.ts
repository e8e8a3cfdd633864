import t from 'tap'
import { EndQueue } from '../../../lib/lifecycle/end-queue.ts'
import { block, turns } from '../../support/support.ts'

t.test('ends added in one turn run in the next, in one callback', async (t) => {
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

t.test('drain() runs those that match at once, the others in the next turn, and each only once', async (t) => {
  const seen: string[] = []
  const queue = new EndQueue<{ name: string, tryToEnd: () => void }>()
  const add = (name: string): void => { queue.add({ name, tryToEnd () { seen.push(name) } }) }
  add('first')
  add('second')
  queue.drain(({ name }) => name === 'second')
  t.same(seen, ['second'])
  add('third')
  await turns()
  t.same(seen, ['second', 'first', 'third'])
  queue.drain(() => true)
  t.equal(seen.length, 3)
})

t.test('if the next turn never comes, as with fake timers, a later add runs the overdue ends', async (t) => {
  let ends = 0
  const queue = new EndQueue(() => {})
  const add = (): void => { queue.add({ tryToEnd () { ends++ } }) }
  for (let i = 0; i < 15; i++) add()
  await turns()
  t.equal(ends, 0)
  add()
  t.equal(ends, 0, 'not in this turn')
  await turns()
  t.equal(ends, 16)
})

t.test('requests also end if timers were faked before the module loads', async (t) => {
  const { setImmediate } = globalThis
  Object.assign(globalThis, { setImmediate () {} })
  const { EndQueue: Faked } = await import(`../../../lib/lifecycle/end-queue.ts?${'faked'}`).finally(() => { Object.assign(globalThis, { setImmediate }) }) as { EndQueue: typeof EndQueue }
  t.not(Faked, EndQueue)
  let ends = 0
  const queue = new Faked()
  const add = (): void => { queue.add({ tryToEnd () { ends++ } }) }
  for (let i = 0; i < 16; i++) add()
  t.equal(ends, 0)
  await turns()
  t.equal(ends, 16)
})

t.test('a turn that takes long ends nothing before it is over', async (t) => {
  let ends = 0
  const queue = new EndQueue()
  const add = (): void => { queue.add({ tryToEnd () { ends++ } }) }
  add()
  block(150)
  for (let i = 0; i < 31; i++) add()
  await Promise.resolve()
  t.equal(ends, 0)
  await turns()
  t.equal(ends, 32)
})

t.test('an end that throws is reported, and does not stop the others', async (t) => {
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
