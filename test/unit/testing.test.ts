import t from 'tap'
import * as kit from '../../lib/testing.ts'

t.test('the testing entry exports what its docs page lists, and nothing else', async (t) => {
  t.same(Object.keys(kit), ['assertIsolated', 'withContext'])
})
