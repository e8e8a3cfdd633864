import t from 'tap'
import { enter, currentStore } from '../lib/storage.ts'
t.test('enter', async (t) => { t.equal(enter(undefined, () => currentStore()), undefined) })
