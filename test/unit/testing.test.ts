import t from 'tap'
import * as kit from '../../lib/testing.ts'

t.test('the door of the testing kit has what its page says, and no more', async (t) => {
  t.same(Object.keys(kit), ['assertIsolated', 'withContext'])
})
