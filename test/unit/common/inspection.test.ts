import { inspect } from 'node:util'
import t from 'tap'
import { showAs } from '../../../lib/common/inspection.ts'

t.test('an object is inspected as the given text at any depth, and gains no property', async (t) => {
  class Holder { readonly value = 's3cret' }
  showAs(Holder.prototype, ({ value }) => `Holder of ${value.length} characters`)
  const holder = new Holder()
  t.equal(inspect(holder), 'Holder of 6 characters')
  t.equal(inspect({ deep: [holder] }), '{ deep: [ Holder of 6 characters ] }')
  t.same(Reflect.ownKeys(holder), ['value'])
  t.same(Object.keys(Holder.prototype), [])
})
