import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { ctx } from 'fastify-ctx'
import { assertIsolated, withContext } from 'fastify-ctx/testing'
import { build, currentTenant, orders } from './app.mjs'

let before
let app
beforeEach(withContext({ tenant: 'hook' }, () => { before = ctx.get('tenant') }))
afterEach(async () => { await app?.close() })

test('async', withContext({ tenant: 'acme' }, async () => {
  expect(before).toBe('hook')
  expect(await currentTenant()).toBe('acme')
}))

test('sync', withContext({ tenant: 'globex' }, () => { expect(ctx.get('tenant')).toBe('globex') }))

test('with done', withContext({ tenant: 'initech' }, (done) => {
  setImmediate(() => {
    expect(ctx.get('tenant')).toBe('initech')
    done()
  })
}))

test('nothing remains', async () => { expect(await currentTenant()).toBe(undefined) })

test('requests are isolated', async () => {
  app = await build({ shared: process.env.SHARED === '1' })
  await assertIsolated(app, orders)
})
