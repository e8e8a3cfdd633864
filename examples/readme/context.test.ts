// context.test.ts
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { withContext } from 'fastify-ctx/testing'
import { ctx } from './context.ts'

test('knows the tenant', withContext(ctx, { tenant: 'acme' }, async () => {
  assert.equal(ctx.require('tenant'), 'acme') // call your own functions here
}))
