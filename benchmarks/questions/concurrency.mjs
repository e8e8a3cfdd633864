// Does a request cost more when other requests are active? All of them wait in their handlers before the first is answered.
import { together } from '../load.mjs'
import { startPeer } from '../peers.mjs'
import { gate } from '../peers/work.mjs'

const AT_ONCE = [10, 100, 1000, 10_000]

export default {
  name: 'concurrency',
  title: 'Growth: requests at once',
  unit: 'µs',
  base: 'bare',
  control: 'bare again',
  count: 10_000,
  leastCount: 10_000,
  warmUp: 5000,
  mostSets: 1,
  cases: AT_ONCE.map((count) => `${count} at once`),
  quickCases: ['10 at once', '1000 at once'],
  variants: ['bare', 'bare again', 'request-context', 'fastify-ctx'],
  goals: [{ of: 'fastify-ctx', base: 'bare', from: '10 at once', to: '10000 at once', growthAtMost: 1.10, why: 'The scopes of waiting requests survive garbage collections, which move them.' }],

  async prepare (variant) {
    const app = await startPeer(variant)
    // For low concurrency ten thousand requests are not necessary.
    return Object.fromEntries(AT_ONCE.map((count) => [`${count} at once`, Object.assign(together(app, gate, count), { count: Math.max(count, 2500) })]))
  }
}
