// @fastify/multipart, and the type providers of TypeBox and zod: values from the body come after the seeds.
import type { Readable } from 'node:stream'
import multipart, { type MultipartFile } from '@fastify/multipart'
import { TypeBoxValidatorCompiler, type TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { serializerCompiler, validatorCompiler, type ZodTypeProvider } from 'fastify-type-provider-zod'
import t from 'tap'
import { Type } from 'typebox'
import { z } from 'zod'
import { createContext, key } from '../../lib/index.ts'
import { gate } from '../support/support.ts'
import { ctx } from './recipes/context.ts'
import { OWN, TENANTS, Watch } from './recipes/watch.ts'

t.test('@fastify/multipart', async (t) => {
  const BOUNDARY = 'the-boundary'
  const type = { 'content-type': `multipart/form-data; boundary=${BOUNDARY}` }

  /** Sends a field and a file, and the second half of the file when the server has seen the first halves of both tenants. */
  function upload (tenant: string, first: Promise<void>): RequestInit & { readonly headers: Record<string, string> } {
    const field = `--${BOUNDARY}\r\ncontent-disposition: form-data; name="of"\r\n\r\n${tenant}\r\n`
    const head = `--${BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="${tenant}.txt"\r\ncontent-type: text/plain\r\n\r\n`
    async function * body () {
      yield Buffer.from(`${field}${head}one `)
      await first
      yield Buffer.from(`two\r\n--${BOUNDARY}--\r\n`)
    }
    return { method: 'POST', headers: type, body: body() as never, duplex: 'half' } as never
  }

  /** Opens when the first halves of both have arrived. */
  function halves (watch: Watch) {
    const both = gate()
    return { first: both.promise, arrived: async () => { await watch.meet('first half'); both.open() } }
  }

  t.test('the stream of each file, and its reader, see their own tenant', async (t) => {
    const watch = new Watch(t)
    const { app } = watch
    const { first, arrived } = halves(watch)
    const seen = (chunk: unknown, name: string): void => {
      watch.see('for await of a file', name)
      if (String(chunk) === 'one ') arrived()
    }
    await app.register(ctx.plugin)

    await app.register(multipart)
    app.post('/files', async (request) => {
      for await (const part of request.parts()) {
        if (part.type === 'file') await store(part.filename, part.file)
      }
      return 'stored'
    })
    async function store (name: string, file: Readable) { // knows no request
      const path = `${ctx.require('tenant')}/${name}`
      let bytes = 0
      for await (const chunk of file) {
        bytes += chunk.length
        seen(chunk, name.replace('.txt', ''))
      }
      ctx.log.info({ path, bytes }, 'stored')
    }

    await watch.listen()
    t.same(await watch.askBoth('/files', (tenant) => upload(tenant, first)), ['stored', 'stored'])
    t.same(watch.told(), { 'for await of a file': 'held' })
    t.same(watch.lines.all('stored').map(({ tenant, path, bytes }) => [tenant, path, bytes]).sort(), TENANTS.map((tenant) => [tenant, `${tenant}/${tenant}.txt`, 7]))
    t.same(await watch.completed(), OWN)
  })

  t.test('stream events, onFile, and the fields once they have arrived', async (t) => {
    const watch = new Watch(t)
    const { app } = watch
    const { first, arrived } = halves(watch)
    await app.register(ctx.plugin)
    async function onFile (this: FastifyRequest, part: MultipartFile) {
      const whose = this.headers['x-tenant']
      watch.see('onFile', whose)
      await new Promise((resolve) => {
        part.file.once('data', () => { watch.see("'data' of a file", whose); arrived() })
        part.file.on('data', () => {}).on('end', () => { watch.see("'end' of a file", whose); resolve(undefined) })
      })
    }
    await app.register(multipart, { attachFieldsToBody: 'keyValues', onFile: onFile as never })
    app.addHook('preHandler', async ({ body }) => { ctx.set('user', { id: `field of ${(body as { of: string }).of}` }) })
    app.post('/', async ({ headers }) => {
      watch.see('handler', headers['x-tenant'])
      return ctx.get('user')?.id
    })
    await watch.listen()
    t.same(await watch.askBoth('/', (tenant) => upload(tenant, first)), TENANTS.map((tenant) => `field of ${tenant}`))
    t.same(watch.told(), { onFile: 'held', "'data' of a file": 'held', "'end' of a file": 'held', handler: 'held' })
  })
})

t.test('type providers', async (t) => {
  /** What the seed, which runs before validation, saw, and the value set after it. */
  const seeds: unknown[] = []
  const ctx = createContext({
    tenant: key<string>({ seed: (request) => request.headers['x-tenant'], log: true }),
    project: key<number>({ seed: (request) => { seeds.push((request.params as { id: unknown }).id); return undefined }, log: true })
  })
  t.beforeEach(() => { seeds.length = 0 })

  async function asked (watch: Watch): Promise<void> {
    await watch.listen()
    const answers = await watch.askBoth('/projects/7')
    t.same(answers.map((text) => JSON.parse(text)), TENANTS.map((tenant) => ({ tenant, next: 8 })))
    t.same(watch.told(), { handler: 'held' })
    t.same(watch.lines.all('request completed').map(({ tenant, project }) => [tenant, project]).sort(), TENANTS.map((tenant) => [tenant, 7]))
    t.same(seeds, ['7', '7'], 'unvalidated')
    t.match(JSON.parse(await watch.ask('acme', '/projects/seven')), { statusCode: 400 })
    t.match(watch.lines.all('request completed').at(-1), { tenant: 'acme', project: undefined }, 'an invalid value is set nowhere')
  }

  const see = async (watch: Watch, request: FastifyRequest): Promise<void> => {
    await watch.meet('handler')
    watch.see('handler', request.headers['x-tenant'])
  }

  t.test('TypeBox: validated values are set in preHandler, and request.ctx is typed next to them', async (t) => {
    const watch = new Watch(t, ctx)
    const seen = async (request: unknown) => await see(watch, request as FastifyRequest)
    await watch.app.register(ctx.plugin)
    const app: FastifyInstance = watch.app

    const typed = app.setValidatorCompiler(TypeBoxValidatorCompiler).withTypeProvider<TypeBoxTypeProvider>()
    typed.get('/projects/:id', {
      schema: { params: Type.Object({ id: Type.Integer() }) },
      preHandler: async (request) => { ctx.set('project', request.params.id) } // valid only from here on
    }, async (request) => {
      await seen(request)
      return { tenant: request.ctx.tenant, next: request.params.id + 1 }
    })

    await asked(watch)
  })

  t.test('zod: the same', async (t) => {
    const watch = new Watch(t, ctx)
    const seen = async (request: unknown) => await see(watch, request as FastifyRequest)
    await watch.app.register(ctx.plugin)
    const app: FastifyInstance = watch.app

    const typed = app.setValidatorCompiler(validatorCompiler).setSerializerCompiler(serializerCompiler).withTypeProvider<ZodTypeProvider>()
    typed.get('/projects/:id', {
      schema: { params: z.object({ id: z.coerce.number().int() }) },
      preHandler: async (request) => { ctx.set('project', request.params.id) }
    }, async (request) => {
      await seen(request)
      return { tenant: request.ctx.tenant, next: request.params.id + 1 }
    })

    await asked(watch)
  })
})
