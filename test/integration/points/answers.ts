import { once } from 'node:events'
import { PassThrough, Readable } from 'node:stream'
import type { FastifyRequest } from 'fastify'
import type { Area, Bench } from './bench.ts'

/** Feeds the streams of all requests from code outside any request, like a shared driver or subscription. */
function feed (bench: Bench, when: string): { streams: PassThrough[], fed: Promise<void> } {
  const streams: PassThrough[] = []
  const fed = bench.until(when).then(async () => {
    for (const part of ['one', 'two']) {
      for (const stream of streams) stream.write(part)
      await new Promise((resolve) => { setImmediate(resolve) })
    }
    for (const stream of streams) stream.end()
  })
  return { streams, fed }
}

function listen (bench: Bench, name: string, request: FastifyRequest, stream: Readable, events: readonly string[]): void {
  for (const event of events) stream.on(event, () => { bench.see(`${name}: '${event}'`, request) })
}

export const answers: Area = {
  name: 'Answers and streams',
  transports: ['http1', 'http2', 'inject'],
  async visit (bench) {
    const { streams, fed } = feed(bench, 'handler that sends a stream fed from elsewhere')
    await bench.app((app) => {
      app.addHook('onSend', async (request, _reply, payload) => { bench.see('onSend hook of a stream', request); return payload })
      app.addHook('onResponse', async (request) => { bench.see('onResponse hook after a stream', request) })
      app.get('/fed', (request, reply) => {
        const stream = new PassThrough()
        listen(bench, 'stream fed from elsewhere', request, stream, ['data', 'end', 'close'])
        bench.see('handler that sends a stream fed from elsewhere', request)
        reply.send(stream)
        streams.push(stream)
      })
      app.get('/generator', async (request) => Readable.from((async function * () {
        for (let i = 0; i < 3; i++) {
          bench.see('async generator behind Readable.from', request)
          yield `${i}`
          await bench.meet(`generator ${i}`)
        }
      })()))
      app.get('/read', async (request) => {
        let reads = 0
        return new Readable({
          read () {
            bench.see('read() of a stream', request)
            setImmediate(() => { this.push(reads++ < 2 ? 'part' : null) })
          },
          destroy (error, done) { bench.see('destroy() of a stream', request); done(error) }
        })
      })
      app.get('/web', async (request) => {
        let pulls = 0
        return new ReadableStream<Uint8Array>({
          async pull (controller) {
            bench.see('pull() of a web stream', request)
            await null
            if (pulls++ < 2) controller.enqueue(new TextEncoder().encode('part'))
            else controller.close()
          }
        })
      })
      app.get('/response', async (request) => new Response('text', { headers: { 'x-from': request.id } }))
      app.get('/failing', async (request) => {
        const stream = new Readable({ read () { setImmediate(() => { this.destroy(new Error('failed')) }) } })
        listen(bench, 'stream that fails before its first byte', request, stream, ['error', 'close'])
        return stream
      })
      app.get('/trailer', async (request, reply) => {
        reply.trailer('x-callback', (_reply, _payload, done) => { bench.see('trailer, callback', request); done(null, 'a') })
        reply.trailer('x-async', async () => { bench.see('trailer, async', request); return 'b' })
        return 'text'
      })
      app.get('/then', (request, reply) => {
        reply.then(() => { bench.see('reply.then', request) }, () => {})
        bench.meet('then').then(() => { reply.send('text') }, reply.send.bind(reply))
      })
    })
    await bench.both({ path: '/fed' })
    await fed
    const paths = ['/generator', '/read', '/web', '/response', '/failing', '/then', ...(bench.transport === 'http2' ? [] : ['/trailer'])]
    for (const path of paths) await bench.both({ path })
    await bench.until('onResponse hook after a stream', 2 + 2 * paths.length)
  }
}

export const serverSentEvents: Area = {
  name: 'Server-sent events',
  transports: ['http1', 'http2'],
  async visit (bench) {
    await bench.app((app) => {
      app.addHook('onResponse', async (request) => { bench.see('onResponse hook after the events', request) })
      app.get('/', (request, reply) => {
        reply.hijack()
        const { raw } = reply
        raw.writeHead(200, { 'content-type': 'text/event-stream' })
        let sent = 0
        const timer = setInterval(() => {
          bench.see('setInterval that writes events', request)
          raw.write(`data: ${sent++}\n\n`, () => { bench.see('callback of reply.raw.write', request) })
          if (sent < 3) return
          clearInterval(timer)
          raw.end()
        }, 1)
        for (const event of ['finish', 'close']) raw.on(event, () => { bench.see(`reply.raw: '${event}'`, request) })
      })
      app.get('/drain', (request, reply) => {
        reply.hijack()
        const { raw } = reply
        raw.writeHead(200)
        raw.on('drain', () => { bench.see('reply.raw: \'drain\'', request) })
        raw.write('x'.repeat(4_000_000))
        once(raw, 'drain').then(() => {
          bench.see('after await once(reply.raw, \'drain\')', request)
          raw.end()
        }, () => {})
      })
    })
    await bench.both({ path: '/' })
    await bench.both({ path: '/drain' })
    await bench.until('onResponse hook after the events', 4)
  }
}
