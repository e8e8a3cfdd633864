import { Transform, type Readable } from 'node:stream'
import multipart from '@fastify/multipart'
import type { FastifyRequest } from 'fastify'
import type { Area, Bench } from './bench.ts'

/** Sends the second part when both servers have met the first one. */
async function * inTwoParts (bench: Bench, afterPoint: string, times: number, parts: readonly [string, string] = ['one ', 'two']): AsyncGenerator<string> {
  yield parts[0]
  await bench.until(afterPoint, times)
  // Send the first part alone, so that the second is not read together with it.
  await new Promise((resolve) => { setImmediate(resolve) })
  yield parts[1]
}

function listen (bench: Bench, name: string, request: FastifyRequest, payload: Readable | FastifyRequest['raw']): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    payload.on('data', (chunk) => { bench.see(`${name}: 'data'`, request); text += String(chunk) })
    payload.on('end', () => { bench.see(`${name}: 'end'`, request); resolve(text) })
    payload.on('error', reject)
  })
}

export const bodies: Area = {
  name: 'Bodies',
  transports: ['http1', 'http2', 'inject'],
  async visit (bench) {
    await bench.app((app) => {
      app.addHook('onRequest', async (request) => { bench.see('onRequest hook before the body', request) })
      app.addHook('preHandler', async (request) => { bench.see('preHandler hook after a delayed body', request) })
      app.addHook('onResponse', async (request) => { bench.see('onResponse hook after a delayed body', request) })

      app.addContentTypeParser('text/callback', (request, payload, done) => {
        bench.see('content-type parser, callback', request)
        listen(bench, 'payload of a content-type parser, callback', request, payload).then((text) => {
          bench.see('content-type parser, callback, once read', request)
          done(null, text)
        }, done)
      })
      app.addContentTypeParser('text/listeners', (request, payload, done) => {
        let text = ''
        payload.on('data', (chunk) => { text += String(chunk) })
        payload.on('end', () => { bench.see('content-type parser that calls done in \'end\'', request); done(null, text) })
      })
      app.addContentTypeParser('text/async', async (request: FastifyRequest, payload: Readable) => {
        bench.see('content-type parser, async', request)
        let text = ''
        for await (const chunk of payload) {
          bench.see('content-type parser, async, in for await', request)
          text += String(chunk)
        }
        return text
      })
      app.addContentTypeParser('text/string', { parseAs: 'string' }, (request, body, done) => {
        bench.see('content-type parser, parseAs string, callback', request)
        done(null, body)
      })
      app.addContentTypeParser('text/buffer', { parseAs: 'buffer' }, async (request: FastifyRequest, body: Buffer) => {
        bench.see('content-type parser, parseAs buffer, async', request)
        await null
        bench.see('content-type parser, parseAs buffer, async, after a wait', request)
        return String(body)
      })
      app.addContentTypeParser('text/raw', (_request, payload, done) => { done(null, payload) })
      app.addContentTypeParser('text/failing', async (request: FastifyRequest, payload: Readable) => {
        for await (const chunk of payload) String(chunk)
        throw new Error('failed')
      })
      app.setErrorHandler(async (_error, request) => { bench.see('error handler after a failed parser', request); return 'failed' })

      for (const path of ['/callback', '/listeners', '/async', '/string', '/buffer', '/plain', '/failing']) {
        app.post(path, async (request) => {
          bench.see(`handler after a delayed body: ${path.slice(1)}`, request)
          await bench.meet(path)
          return { body: request.body }
        })
      }
      app.post('/raw', async (request) => ({ text: await listen(bench, 'payload listened to in the handler', request, request.body as Readable) }))
      app.post('/piped', {
        preParsing: async (request, _reply, payload) => payload.pipe(new Transform({
          transform (chunk, _encoding, done) { bench.see('transform of a stream returned by preParsing', request); done(null, chunk) },
          flush (done) { bench.see('flush of a stream returned by preParsing', request); done() }
        }))
      }, async (request) => {
        bench.see('handler after a body through preParsing', request)
        return 'ok'
      })
    })
    let asked = 0
    for (const path of ['/callback', '/listeners', '/async', '/string', '/buffer', '/plain', '/raw', '/failing']) {
      const times = asked += 2
      await bench.both({ path, type: `text/${path.slice(1)}`, body: () => inTwoParts(bench, 'onRequest hook before the body', times) })
    }
    await bench.both({ path: '/piped', type: 'text/plain', body: () => inTwoParts(bench, 'onRequest hook before the body', asked + 2) })
    await bench.until('onResponse hook after a delayed body', asked + 2)
  }
}

export const multiparts: Area = {
  name: 'Multipart (@fastify/multipart)',
  transports: ['http1', 'inject'],
  async visit (bench) {
    await bench.app(async (app) => {
      await app.register(multipart)
      app.addHook('onRequest', async (request) => { bench.see('onRequest hook', request) })
      app.addHook('onResponse', async (request) => { bench.see('onResponse hook', request) })
      app.post('/parts', async (request) => {
        for await (const part of request.parts()) {
          bench.see('for await of request.parts()', request)
          if (part.type === 'file') {
            part.file.on('data', () => { bench.see('file: \'data\'', request) })
            part.file.on('end', () => { bench.see('file: \'end\'', request) })
            for await (const chunk of part.file) { String(chunk); bench.see('for await of a file', request) }
          }
        }
        return 'ok'
      })
      app.post('/file', async (request) => {
        const file = await request.file()
        bench.see('after request.file()', request)
        const text = String(await file?.toBuffer())
        bench.see('after file.toBuffer()', request)
        return text
      })
    })
    const head = '--x\r\nContent-Disposition: form-data; name="field"\r\n\r\nvalue\r\n--x\r\nContent-Disposition: form-data; name="file"; filename="f.txt"\r\n\r\none'
    const parts = [head, ' two\r\n--x--\r\n'] as const
    const type = 'multipart/form-data; boundary=x'
    await bench.both({ path: '/parts', type, body: () => inTwoParts(bench, 'onRequest hook', 2, parts) })
    await bench.both({ path: '/file', type, body: () => inTwoParts(bench, 'onRequest hook', 4, parts) })
    await bench.until('onResponse hook', 4)
  }
}
