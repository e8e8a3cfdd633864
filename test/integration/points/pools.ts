import type { FastifyInstance } from 'fastify'
import type { Area, Bench } from './bench.ts'
import { addHook, callbackPool, makeCallbackHook, makeHook, PHASES, STYLES } from './hooks.ts'

/** One hook whose callback is called by the other request's code, and observations in all later steps. */
async function resumeIn (bench: Bench, where: string, build: (app: FastifyInstance, resume: (callback: () => void) => void) => void): Promise<void> {
  const resume = callbackPool()
  await bench.app((app) => {
    app.setErrorHandler((error, request, reply) => {
      bench.see(`resumed in ${where}: error handler`, request)
      if (where === 'the error handler') resume(() => { reply.send('failed') })
      else reply.send(error)
    })
    app.setNotFoundHandler((request, reply) => { bench.see(`resumed in ${where}: 404 handler`, request); reply.send('none') })
    addHook(app, 'onError', makeHook('onError', 'callback', (request) => { bench.see(`resumed in ${where}: onError hook`, request) }))
    build(app, resume)
    for (const phase of PHASES) {
      for (const style of STYLES) addHook(app, phase, makeHook(phase, style, (request) => { bench.see(`resumed in ${where}: ${phase} hook after it, ${style}`, request) }))
    }
    app.post('/', (request, reply) => {
      bench.see(`resumed in ${where}: handler`, request)
      reply.raw.once('finish', () => { bench.see(`resumed in ${where}: reply.raw 'finish'`, request) })
      if (where === 'the handler') resume(() => { reply.send({ ok: true }) })
      else if (where === 'a handler that fails') resume(() => { reply.send(new Error('failed')) })
      else if (where === 'a handler that calls the 404 handler') resume(() => { reply.callNotFound() })
      else reply.send({ ok: true })
    })
  })
  await bench.both({ path: '/', body: () => '{"a":1}' })
  await bench.until(`resumed in ${where}: onResponse hook after it, async`)
}

export const pools: Area = {
  name: 'Resumed by another request\'s code',
  transports: ['http1', 'http2', 'inject'],
  async visit (bench) {
    for (const phase of PHASES) {
      await resumeIn(bench, phase, (app, resume) => {
        addHook(app, phase, makeCallbackHook(phase, (request, done) => {
          bench.see(`resumed in ${phase}: the hook itself`, request)
          // Keeps the payload: calls `done` without one.
          resume(() => { done() })
        }))
      })
    }
    for (const phase of ['onRequest', 'preHandler'] as const) {
      await resumeIn(bench, `${phase} with an error`, (app, resume) => {
        addHook(app, phase, makeCallbackHook(phase, (_request, done) => { resume(() => { done(new Error('failed')) }) }))
      })
      await resumeIn(bench, `an async ${phase}`, (app, resume) => {
        addHook(app, phase, makeHook(phase, 'async', () => new Promise<void>((resolve) => { resume(resolve) })))
      })
      await resumeIn(bench, `${phase} that answers`, (app, resume) => {
        app.addHook(phase as 'preHandler', (_request, reply, _done) => { resume(() => { reply.send('early') }) })
      })
    }
    await resumeIn(bench, 'onError', (app, resume) => {
      app.addHook('preHandler', async () => { throw new Error('failed') })
      addHook(app, 'onError', makeCallbackHook('onError', (_request, done) => { resume(() => { done() }) }))
      addHook(app, 'onError', makeHook('onError', 'async', (request) => { bench.see('resumed in onError: the next onError hook', request) }))
    })
    await resumeIn(bench, 'the error handler', (app) => { app.addHook('preHandler', async () => { throw new Error('failed') }) })
    await resumeIn(bench, 'a content-type parser', (app, resume) => {
      app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, _body, done) => { resume(() => { done(null, {}) }) })
    })
    await resumeIn(bench, 'a thenable hook', (app, resume) => {
      const thenable = (): PromiseLike<void> => ({ then: (resolve) => { resume(() => { resolve?.() }); return undefined as never } })
      app.addHook('preHandler', ((_request: unknown, _reply: unknown) => thenable()) as never)
    })
    for (const where of ['the handler', 'a handler that fails', 'a handler that calls the 404 handler']) await resumeIn(bench, where, () => {})
  }
}
