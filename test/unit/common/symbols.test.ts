import t from 'tap'
import { symbolOf } from '../../../lib/common/symbols.ts'

t.test('symbolOf finds a symbol by its description, own or inherited', async (t) => {
  const inherited = Symbol('inherited')
  const own = Symbol('own')
  const object = Object.assign(Object.create({ [inherited]: 1 }) as object, { [own]: 2 })
  t.equal(symbolOf(object, 'own'), own)
  t.equal(symbolOf(object, 'inherited'), inherited)
  t.equal(symbolOf(object, 'other'), undefined)
  t.equal(symbolOf(Object.create(null) as object, 'own'), undefined)
})
