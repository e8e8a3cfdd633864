import t from 'tap'
import { ctx } from 'fastify-ctx'
import { assertIsolated, withContext } from 'fastify-ctx/testing'
import { build, currentTenant, orders } from './app.mjs'

let before
t.beforeEach(withContext({ tenant: 'hook' }, () => { before = ctx.get('tenant') }))

t.test('async, with t', withContext({ tenant: 'acme' }, async (t) => {
  t.equal(before, 'hook')
  t.equal(await currentTenant(), 'acme')
  t.test('a subtest sees the outer values', async (t) => { t.equal(await currentTenant(), 'acme') })
  t.test('or its own', withContext({}, async (t) => { t.equal(await currentTenant(), undefined) }))
}))

t.test('sync', withContext({ tenant: 'globex' }, (t) => {
  t.equal(ctx.get('tenant'), 'globex')
  t.end()
}))

t.test('nothing remains', async (t) => { t.equal(await currentTenant(), undefined) })

t.test('requests are isolated', async (t) => {
  const app = await build({ shared: process.env.SHARED === '1' })
  t.teardown(() => app.close())
  await assertIsolated(app, orders)
})
