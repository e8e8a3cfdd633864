// What does a context cost a handler that awaits 20 times? On Node 20 each promise is told of the storage.
import { injected } from '../load.mjs'

const PEERS = {
  bare: 'bare',
  'bare again': 'bare',
  'als.run by hand': 'by-hand',
  'request-context': 'request-context',
  'fastify-ctx': 'fastify-ctx'
}

export default {
  name: 'awaits',
  title: 'A request whose handler awaits 20 times',
  unit: 'µs',
  base: 'bare',
  control: 'bare again',
  count: 2500,
  cases: ['20 awaits'],
  variants: Object.keys(PEERS),
  instructions: { cases: ['20 awaits'], variants: ['bare', 'als.run by hand', 'request-context', 'fastify-ctx'] },
  goals: [{ of: 'fastify-ctx', against: 'request-context', atMost: 1 }],

  async prepare (variant) {
    const { start } = await import(`../peers/${PEERS[variant]}.mjs`)
    return { '20 awaits': injected(await start(), { url: '/awaits' }) }
  }
}
