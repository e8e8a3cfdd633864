import { PassThrough, Readable } from 'node:stream'
import type { FastifyRequest } from 'fastify'
import type { Ctx } from './context.ts'
import { bindByHand, planned, tell, type Served } from './bench.ts'
import { visitOf } from './visit.ts'

/** Routes that differ in request body and response. */
export function addAnswers (served: Served): void {
  const { app, ctx, looker, shuffle } = served
  app.get('/get', async (request) => await tell(served, request, 'handler'))
  app.post('/json', async (request) => ({ ...await tell(served, request, 'json handler'), body: request.body }))
  addParser(served)
  app.post('/parts', async (request) => ({ ...await tell(served, request, 'parser handler'), body: request.body }))
  app.post('/multipart', async (request) => {
    const bodies: string[] = []
    for await (const part of request.parts()) {
      looker.look(request, 'multipart, part')
      bodies.push(part.type === 'file' ? String(await part.toBuffer()) : String(part.value))
      looker.look(request, 'multipart, once read')
    }
    return { ...await tell(served, request, 'multipart handler'), bodies }
  })
  app.get('/error', async (request) => {
    await tell(served, request, 'failing handler')
    throw planned(visitOf(request).n)
  })
  app.get('/thrown', (request) => {
    looker.look(request, 'throwing handler')
    throw planned(visitOf(request).n)
  })
  app.get('/refused', { onRequest: async (request) => { await shuffle.pause(); throw planned(visitOf(request).n) } }, async () => 'never')

  app.get('/stream', (request, reply) => {
    const parts = async function * (): AsyncGenerator<string> {
      for (let i = 0; i < partsOf(request); i++) {
        await shuffle.pause()
        looker.look(request, 'stream')
        yield `${ctx.get('tenant')} ${'.'.repeat(20_000)}\n`
      }
    }
    const stream = Readable.from(parts())
    stream.on('close', bindByHand(served, request, () => { looker.look(request, 'stream, close') }))
    reply.send(stream)
  })

  app.get('/sse', (request, reply) => {
    const stream = new PassThrough()
    stream.on('end', bindByHand(served, request, () => { looker.look(request, 'sse, end') }))
    reply.type('text/event-stream').send(stream)
    let left = partsOf(request)
    // In the code of any request: only the request object itself says whose it is.
    const write = (): void => {
      stream.write(`data: ${(request.ctx as unknown as Pick<Ctx, 'get'>).get('tenant')}\n\n`)
      if (--left > 0) shuffle.later(write)
      else stream.end()
    }
    shuffle.later(write)
  })

  app.get('/timeout', { handlerTimeout: 150 }, async (request, reply) => {
    looker.look(request, 'slow handler')
    await new Promise((resolve) => { reply.raw.once('close', resolve) })
    looker.look(request, 'slow handler, after its answer')
  })
}

function addParser (served: Served): void {
  const { app, looker, shuffle } = served
  app.addContentTypeParser('text/parts', (request, payload, done) => {
    let text = ''
    const bind = <F extends (...args: any[]) => unknown>(fn: F): F => bindByHand(served, request, fn)
    payload.on('data', bind((part: Buffer) => { looker.look(request, 'parser, data'); text += part }))
    payload.on('end', bind(() => { looker.look(request, 'parser, end'); shuffle.later(bind(() => { done(null, text) })) }))
    payload.on('error', bind(done))
  })
}

/** The number of parts of a response. */
function partsOf (request: FastifyRequest): number {
  return Number(request.headers['x-parts'])
}
