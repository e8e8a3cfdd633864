import type { FastifyInstance, FastifyRequest } from 'fastify'
import { COMPLETED, TENANTS, type Area, type Bench } from './bench.ts'
import { addHook, makeHook, PHASES, STYLES, type Phase, type Style } from './hooks.ts'

const EVERYWHERE = ['http1', 'http2', 'inject'] as const

async function * jsonInTwoParts (bench: Bench, afterPoint: string): AsyncGenerator<string> {
  yield '{"a":'
  await bench.until(afterPoint)
  yield '1}'
}

/** Two hooks per phase. The first waits for the other request, the second records what it left current. */
function addHooks (bench: Bench, app: FastifyInstance, style: Style, phases: readonly Phase[] = PHASES, where = ''): void {
  for (const phase of phases) {
    const name = `${phase} hook, ${style}${where}`
    for (const suffix of ['', ', the next one']) {
      addHook(app, phase, makeHook(phase, style, async (request) => {
        bench.see(name + suffix, request)
        await bench.meet(name + suffix)
        bench.see(`${name}${suffix}, after a wait`, request)
      }))
    }
  }
}

export const hooks: Area = {
  name: 'Hooks and handlers',
  transports: EVERYWHERE,
  async visit (bench) {
    for (const style of STYLES) {
      await bench.app((app) => {
        addHooks(bench, app, style)
        app.addHook('onRoute', (route) => {
          if (route.url === '/') route.onResponse = makeHook('onResponse', style, (request) => { bench.see(`onResponse hook of the route, ${style}`, request) }) as never
        })
        if (style === 'async') {
          app.post('/', async (request) => {
            bench.see('handler, async', request)
            await bench.meet('handler')
            bench.see('handler, async, after a wait', request)
            return { ok: true }
          })
        } else {
          app.post('/', (request, reply) => {
            bench.see('handler, callback', request)
            bench.meet('handler').then(() => {
              bench.see('handler, callback, after a wait', request)
              setImmediate(() => reply.send({ ok: true }))
            }, reply.send.bind(reply))
          })
        }
      })
      await bench.both({ path: '/', body: () => jsonInTwoParts(bench, `onRequest hook, ${style}`) })
      await bench.until(`onResponse hook of the route, ${style}`)
    }
    await bench.app((app) => {
      app.get('/', {
        onRequest: async (request) => { bench.see('onRequest hook of the route', request) },
        preParsing: async (request) => { bench.see('preParsing hook of the route', request) },
        preValidation: async (request) => { bench.see('preValidation hook of the route', request) },
        preHandler: [async (request) => { bench.see('preHandler hook of the route', request) }],
        handler: async (request) => {
          await bench.meet('of the route')
          await Promise.all([1, 2].map(async () => { await null; bench.see('branches of Promise.all', request) }))
          process.nextTick(() => { bench.see('process.nextTick', request) })
          setTimeout(() => { bench.see('setTimeout', request) }, 1)
          setImmediate(() => { bench.see('setImmediate', request) })
          queueMicrotask(() => { bench.see('queueMicrotask', request) })
          await Promise.all([bench.until('setTimeout'), bench.until('setImmediate')])
          return { ok: true }
        }
      })
    })
    await bench.both({ path: '/' })
    await bench.until(COMPLETED, bench.subject.correlated ? 6 : 0)
  }
}

export const errors: Area = {
  name: 'Errors and 404',
  transports: EVERYWHERE,
  async visit (bench) {
    for (const style of STYLES) {
      await bench.app((app) => {
        addHooks(bench, app, style, ['onError', 'onSend', 'onResponse'], ', of an error')
        if (style === 'async') {
          app.setErrorHandler(async (_error, request) => {
            bench.see('error handler, async', request)
            await bench.meet('error handler')
            bench.see('error handler, async, after a wait', request)
            return { failed: true }
          })
        } else {
          app.setErrorHandler((_error, request, reply) => {
            bench.see('error handler, callback', request)
            bench.meet('error handler').then(() => { reply.send({ failed: true }) }, reply.send.bind(reply))
          })
        }
        app.get('/', async () => {
          await bench.meet('failing handler')
          throw new Error('failed')
        })
      })
      await bench.both({ path: '/' })
      await bench.until(`onResponse hook, ${style}, of an error, the next one, after a wait`)
    }
    await bench.app((app) => {
      app.addHook('onResponse', async (request) => { bench.see('onResponse hook of an error in a hook', request) })
      app.setErrorHandler(async (_error, request) => { bench.see('error handler of an error in onRequest', request) })
      app.addHook('onRequest', (_request, _reply, done) => { bench.meet('failing hook').then(() => { done(new Error('failed')) }, done) })
      app.get('/', async () => 'never')
    })
    await bench.both({ path: '/' })
    await bench.until('onResponse hook of an error in a hook')
    await notFound(bench)
    await validation(bench)
  }
}

async function notFound (bench: Bench): Promise<void> {
  await bench.app((app) => {
    addHooks(bench, app, 'async', ['onRequest', 'onSend', 'onResponse'], ', of a 404')
    app.setNotFoundHandler({
      preValidation: async (request: FastifyRequest) => { bench.see('preValidation hook of the 404 handler', request) },
      preHandler: async (request: FastifyRequest) => { bench.see('preHandler hook of the 404 handler', request) }
    }, async (request, reply) => {
      bench.see('404 handler', request)
      await bench.meet('404')
      bench.see('404 handler, after a wait', request)
      return reply.code(404).send({ none: true })
    })
    app.get('/called', async (_request, reply) => { await bench.meet('called'); reply.callNotFound(); return reply })
  })
  await bench.both({ path: '/none', body: () => '{"a":1}' })
  await bench.both({ path: '/called' })
  await bench.until('onResponse hook, async, of a 404', 4)

  await bench.app((app) => {
    addHooks(bench, app, 'callback', ['onRequest', 'onResponse'], ', of Fastify\'s own 404')
    app.get('/', async () => 'ok')
  })
  await bench.both({ path: '/none' })
  await bench.until('onResponse hook, callback, of Fastify\'s own 404, the next one, after a wait')
}

async function validation (bench: Bench): Promise<void> {
  await bench.app((app) => {
    app.addHook('preValidation', async (request) => { await bench.meet('validation'); bench.see('preValidation hook before the schema', request) })
    app.addHook('onResponse', async (request) => { bench.see('onResponse hook of an invalid request', request) })
    app.post('/', {
      schema: { body: { type: 'object', required: ['b'] } },
      schemaErrorFormatter (errors) {
        // It gets no request, so the error handler records for which one it runs.
        const seen = bench.subject.get()
        return Object.assign(new Error(errors[0]?.message), { seen })
      },
      errorHandler: (error, request, reply) => {
        const { seen } = error as { seen?: unknown }
        bench.record('schemaErrorFormatter', request, seen)
        bench.see('error handler of the route', request)
        reply.code(400).send()
      }
    }, async () => 'never')
    app.post('/compiled', {
      schema: { body: {} },
      validatorCompiler: () => (body: { tenant: string }) => { bench.see('function made by validatorCompiler', body.tenant); return true },
      serializerCompiler: () => (answer: { tenant: string }) => { bench.see('function made by serializerCompiler', answer.tenant); return '{}' }
    }, async (request) => { await bench.meet('compiled'); return request.body })
    app.get('/serializer', async (request, reply) => {
      reply.serializer(() => { bench.see('reply.serializer', request); return '{}' })
      return { ok: true }
    })
  })
  await bench.both({ path: '/', body: () => '{"a":1}' })
  await Promise.all(TENANTS.map((tenant) => bench.ask({ path: '/compiled', tenant, body: JSON.stringify({ tenant }) })))
  await bench.both({ path: '/serializer' })
  await bench.until('onResponse hook of an invalid request', 6)
}
