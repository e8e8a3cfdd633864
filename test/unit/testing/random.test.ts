import t from 'tap'
import { Random } from '../../../lib/testing/random.ts'

const numbers = (random: Random): number[] => Array.from({ length: 50 }, () => random.below(1000))

t.test('random numbers are the same for the same seed and stream, and different otherwise', async (t) => {
  t.same(numbers(new Random(7)), numbers(new Random(7)))
  t.notSame(numbers(new Random(7)), numbers(new Random(8)))
  t.notSame(numbers(new Random(7, 1)), numbers(new Random(7, 2)))
  t.not(new Random(0).fraction(), new Random(1).fraction(), 'neighbouring seeds start with different numbers')
})

t.test('random numbers stay below their limit and reach each number below it', async (t) => {
  const random = new Random(4711)
  t.same([...new Set(Array.from({ length: 200 }, () => random.below(4)))].sort(), [0, 1, 2, 3])
  for (const fraction of Array.from({ length: 1000 }, () => random.fraction())) if (fraction < 0 || fraction >= 1) t.fail(String(fraction))
})

t.test('shuffle returns the same elements in any order, and does not change its input', async (t) => {
  const random = new Random(1)
  const list = [1, 2, 3]
  t.equal(new Set(Array.from({ length: 200 }, () => random.shuffled(list).join())).size, 6)
  t.same(list, [1, 2, 3])
  t.same(random.shuffled([]), [])
})
