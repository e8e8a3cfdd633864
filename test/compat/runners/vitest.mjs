import { beforeEach, expect, test } from 'vitest'
import { ctx } from 'fastify-ctx'
import { assertIsolated, withContext } from 'fastify-ctx/testing'
import { build, currentTenant, orders } from './app.mjs'

let before
beforeEach(withContext({ tenant: 'hook' }, () => { before = ctx.get('tenant') }))

test('async, with its context', withContext({ tenant: 'acme' }, async ({ task }) => {
  expect(task.name).toBe('async, with its context')
  expect(before).toBe('hook')
  expect(await currentTenant()).toBe('acme')
}))

test('sync', withContext({ tenant: 'globex' }, () => { expect(ctx.get('tenant')).toBe('globex') }))

const testWithService = test.extend({
  service: async ({ task }, use) => { await use(`service of ${task.name}`) }
})
testWithService('with a fixture', withContext({ tenant: 'initech' }, async ({ service }) => {
  expect([service, await currentTenant()]).toEqual(['service of with a fixture', 'initech'])
}))

test('nothing remains', async () => { expect(await currentTenant()).toBe(undefined) })

test('requests are isolated', async ({ onTestFinished }) => {
  const app = await build({ shared: process.env.SHARED === '1' })
  onTestFinished(() => app.close())
  await assertIsolated(app, orders)
})
