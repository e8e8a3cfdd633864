import { inspect } from 'node:util'
import t from 'tap'
import { kLifetime } from '../../../lib/common/symbols.ts'
import { lifetimeOf, lifetimeOfRaw, lifetimeOfResponse, setLifetime } from '../../../lib/lifecycle/carrier.ts'

t.test('the objects of a request carry its lifetime, and those of Node invisibly', async (t) => {
  const raw = { url: '/' }
  const request = { raw } as never
  const response = { req: raw }
  const lifetime = { secret: 'value' } as never
  t.equal(lifetimeOf(request), undefined)
  t.equal(lifetimeOfRaw(raw), undefined)
  t.equal(lifetimeOfResponse(response), undefined)
  setLifetime(request, { raw: response } as never, lifetime)
  t.equal(lifetimeOf(request), lifetime)
  t.equal(lifetimeOf({ raw, [kLifetime]: null } as never), lifetime, 'routed again, as another object of Fastify')
  t.equal(lifetimeOfRaw(raw), lifetime)
  t.equal(lifetimeOfResponse(response), lifetime)
  t.same(Reflect.ownKeys(raw), ['url'])
  t.same(Reflect.ownKeys(response), ['req'])
  t.equal(inspect(raw, { showHidden: true }), "{ url: '/' }")
  t.equal(lifetimeOfRaw({ ...raw }), undefined, 'a copy does not carry it')
})

t.test('a response that refers to another request, or to none, carries the lifetime itself', async (t) => {
  const lifetime = {} as never
  for (const response of [{}, { req: {} }]) {
    setLifetime({ raw: {} } as never, { raw: response } as never, lifetime)
    t.equal(lifetimeOfResponse(response), lifetime)
  }
})
