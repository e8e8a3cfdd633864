import t from 'tap'
import { Canaries, makeCanary } from '../../../lib/testing/canary.ts'

const canaries = new Canaries<string>()
const [ada, lin] = [makeCanary(), makeCanary()]
canaries.give(ada, 'ada')
canaries.give(lin, 'lin')
const ownersIn = (text: string): string[] => [...canaries.ownersIn(text)].sort()

t.test('canaries have the same length and are different, so none contains another', async (t) => {
  const many = Array.from({ length: 1000 }, makeCanary)
  t.equal(new Set(many).size, 1000)
  t.same([...new Set(many.map(({ length }) => length))], [36])
})

t.test('a canary is found anywhere in a text and in any case', async (t) => {
  t.same(ownersIn(ada), ['ada'])
  t.same(ownersIn(`{"tenant":"${ada}","users":["user-of-${lin}"]}`), ['ada', 'lin'])
  t.same(ownersIn(`abcdef${ada.toUpperCase()}0123`), ['ada'])
  t.same(ownersIn(`${ada}${lin}`), ['ada', 'lin'])
})

t.test('a canary is found in base64 of both alphabets, at each of its three offsets', async (t) => {
  for (const before of ['', 'a', 'ab', '{"sub":"']) {
    t.same(ownersIn(`Bearer x.${Buffer.from(`${before}${ada}"}`).toString('base64url')}.y`), ['ada'], before)
    t.same(ownersIn(`session=${Buffer.from(`${before}${ada}??>>`).toString('base64')}; Path=/`), ['ada'], before)
  }
})

t.test('a canary of another run is not found', async (t) => {
  t.same(ownersIn(''), [])
  t.same(ownersIn(makeCanary()), [])
  t.same(ownersIn(ada.slice(0, -1)), [])
  t.same(ownersIn(`${'x'.repeat(100)} ${Buffer.from('nothing of anybody, but long enough to look at').toString('base64')}`), [])
})

t.test('each canary in a readable text is replaced, other UUIDs are not', async (t) => {
  const other = makeCanary()
  t.equal(canaries.replaceIn(`${ada} ${lin.toUpperCase()} ${other}`, (owner) => `<${owner}>`), `<ada> <lin> ${other}`)
})
