import { createReadStream } from 'node:fs'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { FastifyRequest } from 'fastify'
import { fastifyHas } from '../../support/support.ts'
import { COMPLETED, TENANTS, type Area, type Bench } from './bench.ts'
import { addHook, makeHook, STYLES } from './hooks.ts'

const FILE = fileURLToPath(import.meta.url)

/** Longer than a turn, so anything that ends with the connection or the response has ended by then. */
const WAIT = 30

/** What a request does after its client has left, its response was sent, or its time limit has passed. */
export const goingOn: Area = {
  name: 'Work that goes on',
  transports: ['http1', 'http2'],
  async visit (bench) {
    await afterAbort(bench)
    await afterAnswer(bench)
    await streams(bench)
  }
}

/** Sends a request for each tenant. The clients leave when both have reached `ready`. Waits for the last observation. */
async function leave (bench: Bench, path: string, ready: string, last: string, begun = false): Promise<void> {
  const sent = TENANTS.map((tenant) => bench.send({ tenant, path }))
  const gone = sent.map((one) => one.answer.catch(() => {}))
  const begins = sent.map((one) => one.begun.catch(() => {}))
  await bench.until(`meet ${ready}`)
  if (begun) await Promise.all(begins)
  for (const one of sent) one.abort()
  await bench.until(last)
  await Promise.all(gone)
}

async function afterAbort (bench: Bench): Promise<void> {
  const left = (request: FastifyRequest, reply: { raw: NodeJS.EventEmitter }): Promise<void> => new Promise((resolve) => {
    reply.raw.once('close', () => { setTimeout(resolve, WAIT) })
    bench.meet(`ready: ${request.url}`).catch(() => {})
  })
  await bench.app((app) => {
    for (const phase of ['preSerialization', 'onSend'] as const) {
      for (const style of STYLES) {
        const name = `client gone, ${phase} hook, ${style}`
        addHook(app, phase, makeHook(phase, style, async (request) => {
          bench.see(name, request)
          await sleep(WAIT)
          bench.see(`${name}, after a wait`, request)
        }))
      }
    }
    app.setErrorHandler((error, request, reply) => {
      bench.see('client gone, error handler', request)
      reply.send(error)
    })
    app.get('/async', async (request, reply) => {
      await left(request, reply)
      bench.see('client gone, handler 30 ms later, async', request)
      return { late: true }
    })
    app.get('/callback', (request, reply) => {
      left(request, reply).then(() => {
        bench.see('client gone, handler 30 ms later, callback', request)
        reply.send({ late: true })
      }, () => {})
    })
    app.get('/failing', async (request, reply) => {
      await left(request, reply)
      throw new Error('late')
    })
  })
  const last = 'client gone, onSend hook, async, after a wait'
  await leave(bench, '/async', 'ready: /async', last)
  await leave(bench, '/callback', 'ready: /callback', 'client gone, handler 30 ms later, callback')
  await bench.until(last, 4)
  await leave(bench, '/failing', 'ready: /failing', 'client gone, error handler')
  await bench.until(last, 6)
}

async function afterAnswer (bench: Bench): Promise<void> {
  const limited = fastifyHas('handlerTimeout')
  await bench.app((app) => {
    app.get('/sent', async (request, reply) => {
      reply.send('text')
      await sleep(WAIT)
      bench.see('handler 30 ms after reply.send', request)
    })
    if (limited) {
      app.get('/limited', { handlerTimeout: 20 }, async (request) => {
        await bench.until('onResponse hook after the limit')
        await sleep(WAIT)
        bench.see('handler 30 ms after handlerTimeout', request)
      })
    }
    app.addHook('onResponse', async (request) => { bench.see(request.url === '/limited' ? 'onResponse hook after the limit' : 'onResponse hook after reply.send', request) })
  })
  await bench.both({ path: '/sent' })
  await bench.until('handler 30 ms after reply.send')
  if (!limited) return
  await bench.both({ path: '/limited' })
  await bench.until('handler 30 ms after handlerTimeout')
}

async function streams (bench: Bench): Promise<void> {
  await bench.app((app) => {
    app.get('/file', async (request) => {
      const stream = createReadStream(FILE)
      stream.on('close', () => { bench.see('\'close\' of a file that was sent', request) })
      return stream
    })
    app.get('/generator', async (request) => Readable.from((async function * () {
      try {
        yield 'begun'
        await sleep(WAIT)
        await bench.meet('ready: generator')
        await bench.until('client gone, generator')
        yield 'more'
        await sleep(WAIT)
        yield 'and more'
      } finally {
        await sleep(WAIT)
        bench.see('client gone, finally of a generator', request)
      }
    })()))
    app.addHook('onRequest', (request, reply, done) => {
      if (request.url === '/generator') reply.raw.once('close', () => { bench.see('client gone, generator', request) })
      done()
    })
  })
  await bench.both({ path: '/file' })
  await bench.until('\'close\' of a file that was sent')
  await leave(bench, '/generator', 'ready: generator', 'client gone, finally of a generator', true)
}

/** The innermost scope, opened around the `done` of a hook: the rest of the request runs in it. Each tenant acts as `of <tenant>`. */
export const innermost: Area = {
  name: 'Innermost scope',
  transports: ['http1', 'http2', 'inject'],
  async visit (bench) {
    for (const how of ['run', 'impersonate'] as const) {
      await bench.app((app) => {
        const look = (place: string) => async (request: FastifyRequest): Promise<void> => {
          await bench.meet(`${place}, ${how}`)
          const tenant = String(request.headers['x-tenant'])
          const value = bench.subject.get()
          bench.record(`${how} around done, ${place}`, request, value === `of ${tenant}` ? tenant : value === undefined ? undefined : 'another')
        }
        app.addHook('preHandler', (request, _reply, done) => { bench.subject.within(`of ${String(request.headers['x-tenant'])}`, done, how) })
        app.get('/', async (request) => { await look('handler')(request); return { ok: true } })
        for (const phase of ['onSend', 'onResponse'] as const) addHook(app, phase, makeHook(phase, 'async', look(`${phase} hook`)))
      })
      await bench.both({ path: '/' })
      await bench.until(`${how} around done, onResponse hook`)
    }
    bench.points.delete(COMPLETED)
  }
}
