import { inspect } from 'node:util'
import t from 'tap'
import { lifeOf, lifeOfRaw, setLife } from '../../../lib/lifecycle/carrier.ts'

t.test('an object carries a lifetime that nothing shows', async (t) => {
  const raw = { url: '/' }
  const life = { secret: 'value' } as never
  t.equal(lifeOfRaw(raw), undefined)
  setLife(raw, life)
  t.equal(lifeOfRaw(raw), life)
  t.equal(lifeOf({ raw } as never), life)
  t.same(Reflect.ownKeys(raw), ['url'])
  t.equal(inspect(raw, { showHidden: true }), "{ url: '/' }")
  t.equal(lifeOfRaw({ ...raw }), undefined, 'a copy has none')
})
