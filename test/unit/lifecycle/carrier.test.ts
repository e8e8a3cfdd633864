import { inspect } from 'node:util'
import t from 'tap'
import { lifetimeOf, lifetimeOfRaw, setLifetime } from '../../../lib/lifecycle/carrier.ts'

t.test('an object carries a lifetime invisibly', async (t) => {
  const raw = { url: '/' }
  const lifetime = { secret: 'value' } as never
  t.equal(lifetimeOfRaw(raw), undefined)
  setLifetime(raw, lifetime)
  t.equal(lifetimeOfRaw(raw), lifetime)
  t.equal(lifetimeOf({ raw } as never), lifetime)
  t.same(Reflect.ownKeys(raw), ['url'])
  t.equal(inspect(raw, { showHidden: true }), "{ url: '/' }")
  t.equal(lifetimeOfRaw({ ...raw }), undefined, 'a copy does not carry it')
})
