import t from 'tap'
import { BoundedMap } from '../../../lib/scope/bounded-map.ts'

t.test('it works like a Map, with keys of any kind', async (t) => {
  const map = new BoundedMap(10)
  const object = {}
  map.set(object, 1)
  map.set('undefined', undefined)
  map.set(NaN, 3)
  t.same([map.get(object), map.get('undefined'), map.get(NaN), map.get({})], [1, undefined, 3, undefined])
  t.same([map.has(object), map.has('undefined'), map.has({})], [true, true, false])
  t.same([map.delete(NaN), map.delete(NaN), map.has(NaN)], [true, false, false])
  map.clear()
  t.same([map.has(object), map.get(object)], [false, undefined])
})

t.test('a new entry takes the place of the one that was not used for the longest time', async (t) => {
  const forgotten: unknown[] = []
  const map = new BoundedMap(2, (value) => { forgotten.push(value) })
  map.set('a', 'A')
  map.set('b', undefined)
  map.set('b', 'B')
  map.get('a')
  map.set('c', 'C')
  t.same(forgotten, ['B'])
  t.same(['a', 'b', 'c'].map((key) => map.has(key)), [true, false, true])
  for (let i = 0; i < 1000; i++) map.set(i, i)
  t.equal(forgotten.length, 1001)
  t.same([map.has(998), map.has(999), map.has(997)], [true, true, false])
})
