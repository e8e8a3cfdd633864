// What does a context cost a handler that awaits 20 times? On Node 20 the storage has a hook for each promise.
import { overSockets } from '../load.mjs'
import { startPeer } from '../peers.mjs'

export default {
  name: 'awaits',
  title: 'A request whose handler awaits 20 times',
  unit: 'µs',
  base: 'bare',
  control: 'bare again',
  count: 5000,
  cases: ['20 awaits'],
  variants: ['bare', 'bare again', 'als.run by hand', 'request-context', 'fastify-ctx'],
  goals: [{ of: 'fastify-ctx', against: 'request-context', atMost: 1, why: 'No code of this package runs in an await, so the difference is the fixed cost of a request.' }],

  async prepare (variant) {
    return { '20 awaits': await overSockets(await startPeer(variant), { path: '/awaits' }) }
  }
}
