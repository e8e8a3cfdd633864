import t from 'tap'
import { hasField, mayName, membersOf, setField } from '../../../lib/logging/bindings-text.ts'

const NESTED = ',"a":1,"b":{"c":[{"d":"}"}]},"e\\"":"x,\\"f\\":1","g":[1,2]'

t.test('membersOf returns the top-level fields only', async (t) => {
  t.same(membersOf('').map(({ name }) => name), [])
  t.same(membersOf(NESTED).map(({ name }) => name), ['a', 'b', 'e\\"', 'g'])
  t.equal(membersOf(NESTED).map(({ start, end }) => NESTED.slice(start, end)).join(''), NESTED)
})

t.test('membersOf does not throw on invalid JSON', async (t) => {
  for (const text of [',', 'x', ',"a', ',"a\\', ',"a":{', ',"a":]', '"', ',a:1,"b":2']) t.doesNotThrow(() => { membersOf(text) }, text)
  t.same(membersOf(',a:1,"b":2').map(({ name }) => name), ['b'])
})

t.test('hasField and mayName', async (t) => {
  t.ok(hasField(NESTED, 'a'))
  t.notOk(hasField(NESTED, 'c'))
  t.ok(mayName(NESTED, 'c'))
  t.notOk(mayName(NESTED, 'h'))
})

t.test('setField leaves the field once, with the new value', async (t) => {
  t.equal(setField(',"a":1,"b":2', 'a', ',"a":1'), ',"a":1,"b":2', 'in its place if the value is the same')
  t.equal(setField(',"a":1,"b":2', 'a', ',"a":3'), ',"b":2,"a":3')
  t.equal(setField(',"a":1,"b":2,"a":1', 'a', ',"a":1'), ',"b":2,"a":1')
  t.equal(setField('', 'a', ',"a":1'), ',"a":1')
})
