// What does each nested scope cost? The innermost scope reads a key of the outermost.
import { AsyncLocalStorage } from 'node:async_hooks'
import { injected } from '../load.mjs'
import { bareFastify } from '../peers/bare.mjs'
import { counter } from '../peers/work.mjs'

const SCOPES = [1, 10, 100, 1000]

/** How to open a scope, and how to read the key. */
const variants = {
  bare: async () => ({ run: (_values, fn) => fn(), read: () => 'acme' }),
  'bare again': async () => ({ run: (_values, fn) => fn(), read: () => 'acme' }),
  'als.run by hand': byHand,
  'fastify-ctx': ours
}

const WHY = 'A nested scope copies the values around it, and is open until its function has settled. With many open at once, all of them survive garbage collections.'

export default {
  name: 'scopes',
  title: 'Growth: nested scopes',
  unit: 'µs',
  base: 'bare',
  control: 'bare again',
  count: 5000,
  warmUp: 15_000,
  mostSets: 1,
  cases: SCOPES.map((count) => `${count} nested`),
  quickCases: ['1 nested', '1000 nested'],
  variants: Object.keys(variants),
  goals: [
    { of: 'fastify-ctx', base: 'bare', from: '1 nested', to: '10 nested', steps: 9, slopeAtMost: 0.05, why: WHY },
    { of: 'fastify-ctx', base: 'bare', from: '10 nested', to: '100 nested', steps: 90, slopeAtMost: 0.05, why: WHY },
    { of: 'fastify-ctx', base: 'bare', from: '100 nested', to: '1000 nested', steps: 900, slopeAtMost: 0.05, why: WHY }
  ],

  async prepare (variant) {
    const app = bareFastify(false)
    const { run, read } = await variants[variant](app)
    const nest = (depth) => depth === 0 ? read() : run({ step: depth }, () => nest(depth - 1))
    for (const depth of SCOPES) app.get(`/${depth}`, async () => ({ tenant: nest(depth) }))
    await app.ready()
    // A thousand scopes take as long as dozens of requests.
    return Object.fromEntries(SCOPES.map((depth) => [`${depth} nested`, Object.assign(injected(app, { url: `/${depth}` }), { count: depth === 1000 ? 500 : undefined })]))
  }
}

async function byHand (app) {
  const als = new AsyncLocalStorage()
  app.addHook('onRequest', (request, _reply, done) => { als.run({ requestId: request.id, tenant: 'acme' }, done) })
  return { run: (values, fn) => als.run({ ...als.getStore(), ...values }, fn), read: () => als.getStore()?.tenant }
}

async function ours (app) {
  const { createContext, key } = await import('fastify-ctx')
  const ctx = createContext({ tenant: key({ seed: () => 'acme' }), step: key() })
  await app.register(ctx.plugin, { requestId: { header: false, responseHeader: false, generate: counter() } })
  return { run: (values, fn) => ctx.run(values, fn), read: () => ctx.get('tenant') }
}
