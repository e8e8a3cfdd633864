import assert from 'node:assert/strict'
import { beforeEach, test } from 'node:test'
import { ctx } from 'fastify-ctx'
import { assertIsolated, withContext } from 'fastify-ctx/testing'
import { build, currentTenant, orders } from './app.mjs'

let before
beforeEach(withContext({ tenant: 'hook' }, () => { before = ctx.get('tenant') }))

test('async, with t', withContext({ tenant: 'acme' }, async (t) => {
  t.diagnostic(`in ${await currentTenant()}`)
  assert.equal(before, 'hook')
  assert.equal(await currentTenant(), 'acme')
  await t.test('a subtest sees the outer values', async () => { assert.equal(await currentTenant(), 'acme') })
  await t.test('or its own', withContext({}, async () => { assert.equal(await currentTenant(), undefined) }))
}))

test('sync', withContext({ tenant: 'globex' }, () => { assert.equal(ctx.get('tenant'), 'globex') }))

test('with done', withContext({ tenant: 'initech' }, (t, done) => {
  setImmediate(() => {
    assert.equal(ctx.get('tenant'), 'initech')
    done()
  })
}))

test('nothing remains', async () => { assert.equal(await currentTenant(), undefined) })

test('requests are isolated', async (t) => {
  const app = await build({ shared: process.env.SHARED === '1' })
  t.after(() => app.close())
  await assertIsolated(app, orders)
})
