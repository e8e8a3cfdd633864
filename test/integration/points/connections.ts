import { once } from 'node:events'
import http from 'node:http'
import net from 'node:net'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { fastifyHas } from '../../support/support.ts'
import { portOf, TENANTS, type Area, type Bench, type Sent } from './bench.ts'
import { addHook, makeHook, STYLES } from './hooks.ts'

type Raw = FastifyRequest['raw']

function listen (bench: Bench, name: string, request: FastifyRequest, raw: Raw | NodeJS.EventEmitter, events: readonly string[]): void {
  for (const event of events) (raw as NodeJS.EventEmitter)[event === 'data' ? 'on' : 'once'](event, () => { bench.see(`${name}: '${event}'`, request) })
}

export const events: Area = {
  name: 'Events of Node\'s own objects',
  transports: ['http1', 'http2', 'inject'],
  async visit (bench) {
    await bench.app((app) => {
      app.addHook('onRequest', async (request, reply) => {
        listen(bench, 'request.raw', request, request.raw, ['end', 'close'])
        listen(bench, 'reply.raw', request, reply.raw, ['finish', 'close'])
        reply.raw.once('close', () => { bench.see('reply.raw.once: \'close\'', request) })
        once(reply.raw, 'finish').then(() => { bench.see('after await once(reply.raw, \'finish\')', request) }, () => {})
        once(reply.raw, 'close').then(() => { bench.see('after await once(reply.raw, \'close\')', request) }, () => {})
      })
      app.post('/', async () => { await bench.meet('handler'); return 'text' })
      app.post('/raw', async (request) => {
        listen(bench, 'request.raw in the handler', request, request.raw, ['data', 'end'])
        await once(request.raw, 'end')
        bench.see('after await once(request.raw, \'end\')', request)
        return 'text'
      })
      app.addContentTypeParser('text/raw', (_request, payload, done) => { done(null, payload) })
    })
    const body = async function * (afterPoint: string, times: number): AsyncGenerator<string> {
      yield '"one '
      await bench.until(afterPoint, times)
      yield 'two"'
    }
    const gate = 'reply.raw.once: \'close\''
    await bench.both({ path: '/', body: () => '"one"' })
    await bench.until(gate, 2)
    await bench.both({ path: '/raw', type: 'text/raw', body: () => body(gate, 2) })
    await bench.until('after await once(reply.raw, \'close\')', 4)
  }
}

/** Three tenants one after another on one socket. */
const SEQUENCE = ['alpha', 'beta', 'gamma', 'alpha']

function watch (bench: Bench, app: FastifyInstance, how: string): void {
  for (const phase of ['onRequest', 'preHandler', 'onSend', 'onResponse'] as const) {
    addHook(app, phase, makeHook(phase, 'async', (request) => { bench.see(`${phase} hook, ${how}`, request) }))
  }
}

export const sequences: Area = {
  name: 'Requests on one connection',
  transports: ['http1'],
  async visit (bench) {
    let how = 'keep-alive'
    const pipelined = (request: FastifyRequest): Promise<void> => how === 'pipelined' ? bench.meet('pipelined', SEQUENCE.length) : Promise.resolve()
    const app = await bench.app((app) => {
      watch(bench, app, 'keep-alive')
      app.get('/', async (request) => { bench.see('handler, keep-alive', request); return 'text' })
      app.post('/', async (request) => { bench.see('handler with a body, keep-alive', request); return 'text' })
    }, {
      before: (app) => { app.addHook('onRequest', async (request) => { bench.seeNothing('onRequest hook before the plugin sees nothing, keep-alive', request) }) }
    })
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
    bench.onClose(() => { agent.destroy() })
    for (const method of ['GET', 'POST']) {
      for (const tenant of SEQUENCE) {
        const request = http.request({ host: '127.0.0.1', port: portOf(app), method, agent, headers: { 'x-tenant': tenant, 'x-request-id': `${tenant}.x`, 'content-type': 'text/plain' } })
        const response = once(request, 'response')
        request.end(method === 'POST' ? 'body' : undefined)
        const [message] = await response as [http.IncomingMessage]
        message.resume()
        await once(message, 'end')
      }
    }
    await bench.until('onResponse hook, keep-alive', 2 * SEQUENCE.length)

    how = 'pipelined'
    const second = await bench.app((app) => {
      watch(bench, app, 'pipelined')
      app.get('/', async (request, reply) => {
        bench.see('handler, pipelined', request)
        reply.raw.on('close', () => { bench.see('reply.raw: \'close\', pipelined', request) })
        await pipelined(request)
        bench.see('handler, pipelined, after a wait', request)
        return 'text'
      })
    })
    const socket = net.connect(portOf(second), '127.0.0.1')
    bench.onClose(() => { socket.destroy() })
    socket.resume()
    socket.write(SEQUENCE.map((tenant) => `GET / HTTP/1.1\r\nHost: x\r\nx-tenant: ${tenant}\r\nx-request-id: ${tenant}.x\r\n\r\n`).join(''))
    await bench.until('onResponse hook, pipelined', SEQUENCE.length)
    await bench.until('reply.raw: \'close\', pipelined', SEQUENCE.length)
  }
}

export const hijacks: Area = {
  name: 'Hijacked replies',
  transports: ['http1', 'http2', 'inject'],
  async visit (bench) {
    await bench.app((app) => {
      app.addHook('onResponse', async (request) => { bench.see('onResponse hook of a hijacked reply', request) })
      app.get('/', (request, reply) => {
        reply.hijack()
        listen(bench, 'reply.raw of a hijacked reply', request, reply.raw, ['finish', 'close'])
        bench.see('handler, hijacked', request)
        bench.meet('hijacked').then(() => {
          bench.see('handler, hijacked, after a wait', request)
          // With inject, Node emits the end after the response was closed by hand.
          if (bench.transport === 'inject') reply.raw.end('text')
          else reply.raw.end('text', () => { bench.see('callback of reply.raw.end', request) })
        }, () => {})
      })
      app.get('/piped', async (request, reply) => {
        reply.hijack()
        await pipeline(Readable.from(['one', 'two']), reply.raw)
        bench.see('after await pipeline(source, reply.raw)', request)
      })
    })
    await bench.both({ path: '/' })
    await bench.both({ path: '/piped' })
    await bench.until('onResponse hook of a hijacked reply', 4)
    await bench.until('after await pipeline(source, reply.raw)')
    if (bench.transport !== 'inject') await bench.until('callback of reply.raw.end')
  }
}

export const timeLimits: Area = {
  name: 'Time limits',
  transports: ['http1', 'http2', 'inject'],
  async visit (bench) {
    // The delay is the subject: the limit of 100 ms passes before a response that waits for it.
    const limited = (name: string) => async (request: FastifyRequest): Promise<string> => {
      const { signal } = request
      signal.addEventListener('abort', () => { bench.see(`request.signal: 'abort' listener, ${name}`, request) })
      signal.onabort = () => { bench.see(`request.signal.onabort, ${name}`, request) }
      await bench.until(`onResponse hook after the limit, ${name}`)
      return 'late'
    }
    for (const method of fastifyHas('handlerTimeout') ? ['GET', 'POST'] as const : []) {
      // On a socket, reading the body of a POST request disarms the limit: https://github.com/fastify/fastify/pull/6725 and 7033.
      if (method === 'POST' && bench.transport !== 'inject') continue
      await bench.app((app) => {
        app.setErrorHandler((error, request, reply) => { bench.see(`error handler after the limit, ${method}`, request); reply.send(error) })
        for (const style of STYLES) {
          addHook(app, 'onError', makeHook('onError', style, (request) => { bench.see(`onError hook after the limit, ${style}, ${method}`, request) }))
          addHook(app, 'onSend', makeHook('onSend', style, (request) => { bench.see(`onSend hook after the limit, ${style}, ${method}`, request) }))
        }
        app.addHook('onResponse', async (request) => { bench.see(`onResponse hook after the limit, ${method}`, request) })
        app.route({ method, url: '/', handlerTimeout: 100, handler: limited(method) })
      })
      await bench.both({ path: '/', method, ...(method === 'POST' ? { body: () => '{"a":1}' } : undefined) })
      await bench.until(`onResponse hook after the limit, ${method}`)
    }
    if (bench.transport === 'http1') await connectionTimeout(bench)
  }
}

async function connectionTimeout (bench: Bench): Promise<void> {
  await bench.app((app) => {
    for (const style of STYLES) {
      addHook(app, 'onTimeout', makeHook('onTimeout', style, (request) => { bench.see(`onTimeout hook, ${style}`, request) }))
      addHook(app, 'onRequestAbort', makeHook('onRequestAbort', style, (request) => { bench.see(`onRequestAbort hook after connectionTimeout, ${style}`, request) }))
    }
    app.get('/', async (request, reply) => {
      listen(bench, 'reply.raw after connectionTimeout', request, reply.raw, ['close'])
      await once(reply.raw, 'close')
      return 'late'
    })
  }, { connectionTimeout: 300 })
  await Promise.allSettled(TENANTS.map((tenant) => bench.ask({ tenant, path: '/' })))
  await bench.until('onRequestAbort hook after connectionTimeout, async')
  await bench.until('reply.raw after connectionTimeout: \'close\'')
}

export const losses: Area = {
  name: 'Lost connections',
  transports: ['http1', 'http2'],
  async visit (bench) {
    const where = ['while the body arrives', 'while the handler waits', 'while the answer goes out'] as const
    await bench.app((app) => {
      app.addHook('onRequest', async (request, reply) => {
        const name = where[Number(request.headers['x-where'])]!
        listen(bench, `client gone ${name}, request.raw`, request, request.raw, ['aborted', 'close'])
        listen(bench, `client gone ${name}, reply.raw`, request, reply.raw, ['close'])
        if (bench.transport === 'http1') once(request.raw, 'close').then(() => { bench.see(`client gone ${name}, after await once(request.raw, 'close')`, request) }, () => {})
        request.raw.on('error', () => { bench.see(`client gone ${name}, request.raw: 'error'`, request) })
        if (name === 'while the body arrives') request.raw.once('data', () => { bench.see(`ready: ${name}`, request) })
      })
      for (const style of STYLES) {
        addHook(app, 'onRequestAbort', makeHook('onRequestAbort', style, (request) => {
          bench.see(`client gone ${where[Number(request.headers['x-where'])]}, onRequestAbort hook, ${style}`, request)
        }))
      }
      app.post('/0', async () => 'never')
      app.get('/1', async (request, reply) => {
        bench.see(`ready: ${where[1]}`, request)
        await once(reply.raw, 'close')
        bench.see(`client gone ${where[1]}, handler that goes on`, request)
        return 'late'
      })
      app.get('/2', (request, reply) => {
        reply.raw.writeHead(200)
        reply.hijack()
        reply.raw.write('begun')
        bench.see(`ready: ${where[2]}`, request)
      })
    })
    for (const [i, name] of where.entries()) {
      const halfABody = async function * (): AsyncGenerator<string> { yield '{"a":'; await new Promise(() => {}) }
      const sent: Sent[] = TENANTS.map((tenant) => bench.send({ tenant, path: `/${i}`, headers: { 'x-where': String(i) }, ...(i === 0 ? { body: halfABody() } : undefined) }))
      const gone = sent.map((one) => one.answer.catch(() => {}))
      const begun = sent.map((one) => one.begun.catch(() => {}))
      await bench.until(`ready: ${name}`)
      if (i === 2) await Promise.all(begun)
      for (const one of sent) one.abort()
      await bench.until(`client gone ${name}, onRequestAbort hook, async`)
      await bench.until(`client gone ${name}, reply.raw: 'close'`)
      if (i === 1) await bench.until(`client gone ${name}, handler that goes on`)
      await Promise.all(gone)
    }
  }
}
