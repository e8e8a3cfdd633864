// What does a context cost a request whose handler reads the id, the tenant and the user three times?
import { overSockets } from '../load.mjs'
import { startPeer } from '../peers.mjs'

const WHY_BARE = 'The least that a context costs is *als.run by hand*. On Node.js 20 and 22 the storage is informed about each promise and tick. The reason of the first goal explains the rest.'

export default {
  name: 'requests',
  title: 'A request: id, tenant and user are there, and are read three times',
  unit: 'µs',
  base: 'bare',
  control: 'bare again',
  count: 5000,
  cases: ['GET over sockets', 'POST over sockets'],
  variants: ['bare', 'bare again', 'als.run by hand', 'request-context', 'fastify-ctx', 'fastify-ctx, reenter: false', 'fastify-ctx, defaults', 'bare Nest', 'nestjs-cls'],
  instructions: { cases: ['GET over sockets', 'POST over sockets'], variants: ['bare', 'als.run by hand', 'request-context', 'fastify-ctx', 'fastify-ctx, reenter: false'] },
  goals: [
    { of: 'fastify-ctx', against: 'request-context', atMost: 1, why: 'It holds the values in more places (hooks, parsers, streams and events that Node.js starts outside the scope), and ends the scope when all work of the request has settled. request-context does neither.' },
    { of: 'fastify-ctx, reenter: false', against: 'request-context', atMost: 0.97, why: 'It still ends the scope after the response, in an `onResponse` hook, so that nothing keeps the values of a finished request. With the logger off, as here, this hook makes Fastify add two listeners to each response.' },
    { of: 'fastify-ctx', against: 'bare', atMost: 1.05, nodes: ['24', '26'], why: WHY_BARE },
    { of: 'fastify-ctx', against: 'bare', atMost: 1.10, nodes: ['20', '22'], why: WHY_BARE }
  ],

  async prepare (variant) {
    const app = await startPeer(variant)
    // Nest takes the most time, and one case shows what its package costs.
    if (/nest/i.test(variant)) return { 'GET over sockets': await overSockets(app) }
    return {
      'GET over sockets': await overSockets(app),
      'POST over sockets': await overSockets(app, { method: 'POST' })
    }
  }
}
