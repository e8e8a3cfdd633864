// What does a context cost a request whose handler reads the id, the tenant and the user three times?
import { injected, overSockets } from '../load.mjs'
import { startPeer } from '../peers.mjs'

export default {
  name: 'requests',
  title: 'A request: id, tenant and user are there, and are read three times',
  unit: 'µs',
  base: 'bare',
  control: 'bare again',
  count: 5000,
  cases: ['GET by inject', 'POST by inject', 'GET over sockets', 'POST over sockets'],
  quickCases: ['GET by inject', 'POST over sockets'],
  variants: ['bare', 'bare again', 'als.run by hand', 'request-context', 'fastify-ctx', 'fastify-ctx, defaults', 'bare Nest', 'nestjs-cls'],
  instructions: { cases: ['GET over sockets', 'POST over sockets'], variants: ['bare', 'als.run by hand', 'request-context', 'fastify-ctx'] },
  goals: [
    { of: 'fastify-ctx', against: 'request-context', atMost: 1 },
    { of: 'fastify-ctx', against: 'bare', atMost: 1.05, nodes: ['24', '26'] },
    { of: 'fastify-ctx', against: 'bare', atMost: 1.10, nodes: ['20', '22'] }
  ],

  async prepare (variant) {
    const app = await startPeer(variant)
    return {
      'GET by inject': injected(app),
      'POST by inject': injected(app, { method: 'POST' }),
      'GET over sockets': await overSockets(app),
      'POST over sockets': await overSockets(app, { method: 'POST' })
    }
  }
}
