// What do correlated log lines cost, half of them by `request.log`, half by the logger of a module? Each line has the id, the tenant and the user. Those of
// `bare` have only the id, and only if `request.log` writes them.
import { overSockets } from '../load.mjs'

const PEERS = {
  bare: 'bare',
  'bare again': 'bare',
  'als.run + mixin': 'by-hand',
  'request-context + mixin': 'request-context',
  'fastify-ctx': 'fastify-ctx'
}

export default {
  name: 'log-lines',
  title: 'A request that writes log lines',
  unit: 'µs',
  base: 'request-context + mixin',
  control: ['bare', 'bare again'],
  count: 5000,
  cases: ['3 lines', '10 lines'],
  variants: Object.keys(PEERS),
  instructions: { cases: ['3 lines', '10 lines'], variants: ['bare', 'als.run + mixin', 'request-context + mixin', 'fastify-ctx'] },
  goals: [
    { of: 'fastify-ctx', against: 'request-context + mixin', atMost: 0.95, cases: ['3 lines'], why: 'The fields are serialized once for a request, and its scope is opened and ended, however few lines it writes. With three lines this fixed cost outweighs what each line saves.' },
    { of: 'fastify-ctx', against: 'request-context + mixin', atMost: 0.80, cases: ['10 lines'], why: 'The logger itself writes each line, with its own serializers and redaction, and the scope is opened and ended as in a request without lines. Each line costs less than with a mixin, but ten do not outweigh the rest by a fifth.' }
  ],

  async prepare (variant) {
    const { start } = await import(`../peers/${PEERS[variant]}.mjs`)
    const app = await start({ logs: true })
    return {
      '3 lines': await overSockets(app, { path: '/lines/3' }),
      '10 lines': await overSockets(app, { path: '/lines/10' })
    }
  }
}
