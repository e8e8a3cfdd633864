// What does each key cost that a request uses (it is seeded and read once), and each that is only declared?
import { injected } from '../load.mjs'
import { bareFastify } from '../peers/bare.mjs'
import { counter } from '../peers/work.mjs'

const USED = [1, 10, 50, 100, 200]

/** How to register seeds for the keys with these names, and how to read one of them. */
const variants = {
  bare: async () => (_request, name) => valueOf(name),
  'bare again': async () => (_request, name) => valueOf(name),
  'request-context': ofRequestContext,
  'fastify-ctx': ours
}

const WHY = 'Each key has its own seed and its own policy, which are looked up one by one. By hand all values are one object literal.'

export default {
  name: 'keys',
  title: 'Growth: keys',
  unit: 'µs',
  base: 'bare',
  control: 'bare again',
  count: 5000,
  warmUp: 15_000,
  mostSets: 1,
  cases: [...USED.map((count) => `${count} used`), '1 used, 50 declared'],
  quickCases: ['1 used', '200 used'],
  variants: Object.keys(variants),
  goals: [
    { of: 'fastify-ctx', base: 'bare', from: '1 used', to: '50 used', steps: 49, slopeAtMost: 0.01, why: WHY },
    { of: 'fastify-ctx', base: 'bare', from: '50 used', to: '200 used', steps: 150, slopeAtMost: 0.01, why: WHY },
    { of: 'fastify-ctx', from: '1 used', to: '1 used, 50 declared', growthAtMost: 1.03, why: 'A request runs no code for unused keys. Two processes of the same program differ by as much.' }
  ],

  async prepare (variant) {
    const cases = {}
    for (const count of USED) cases[`${count} used`] = injected(await service(variant, count))
    if (variant === 'fastify-ctx') cases['1 used, 50 declared'] = injected(await service(variant, 1, 50))
    return cases
  }
}

function valueOf (name) {
  return name
}

async function service (variant, used, declared = used) {
  const names = Array.from({ length: used }, (_, i) => `key${i}`)
  const app = bareFastify(false)
  const read = await variants[variant](app, names, Array.from({ length: declared - used }, (_, i) => `unused${i}`))
  app.get('/', async (request) => {
    let length = 0
    for (let i = 0; i < names.length; i++) length += read(request, names[i]).length
    return { length }
  })
  await app.ready()
  return app
}

function valuesOf (names) {
  const values = {}
  for (let i = 0; i < names.length; i++) values[names[i]] = valueOf(names[i])
  return values
}

async function ofRequestContext (app, names) {
  const { default: plugin, requestContext } = await import('@fastify/request-context')
  await app.register(plugin, { defaultStoreValues: () => valuesOf(names) })
  return (_request, name) => requestContext.get(name)
}

async function ours (app, names, unused) {
  const { createContext, key } = await import('fastify-ctx')
  const keys = names.map((name) => [name, key({ seed: () => valueOf(name) })])
  const ctx = createContext(Object.fromEntries([...keys, ...unused.map((name) => [name, key()])]))
  await app.register(ctx.plugin, { requestId: { header: false, responseHeader: false, generate: counter() } })
  return (_request, name) => ctx.get(name)
}
