import { AsyncLocalStorage } from 'node:async_hooks'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { createContext, key } from '../../../lib/index.ts'
import type { Shuffle } from '../../support/shuffle.ts'

type Name = 'tenant' | 'user' | 'requestId'

/** The request context under test: ours, or one with a known bug. */
export interface Subject {
  register (app: FastifyInstance): Promise<void>
  get (name: Name): string | undefined
  set (name: 'user', value: string): void
  run<R> (values: { tenant: string }, fn: () => R): R
  bind<F extends (...args: any[]) => unknown> (fn: F): F
  readonly log: { info (message: string): void }
  readonly mixin: () => object
}

export function ours (shuffle: Shuffle): Subject {
  const ctx = createContext({
    tenant: key<string>({
      log: true,
      async seed (request) {
        await shuffle.pause()
        return request.headers['x-tenant-id']
      }
    }),
    user: key<string>({ log: true })
  })
  return Object.assign(ctx, { async register (app: FastifyInstance) { await app.register(ctx.plugin) } }) as never
}

/** The bug that this plugin prevents: the values of the request are in a module variable. */
export function moduleVariable (shuffle: Shuffle): Subject {
  let values: Record<string, string | undefined> = {}
  let log: FastifyInstance['log'] | undefined
  const subject: Subject = {
    async register (app) {
      app.decorateRequest('ctx' as never, { getter: () => subject } as never)
      app.addHook('onRequest', async (request, reply) => {
        await shuffle.pause()
        values = { requestId: request.id, tenant: request.headers['x-tenant-id'] as string }
        log = request.log
        reply.header('x-request-id', request.id)
      })
    },
    get: (name) => values[name],
    set (name, value) { values[name] = value },
    run (inner, fn) {
      values = { ...values, ...inner }
      return fn()
    },
    bind: (fn) => fn,
    log: { info (message) { log?.info(values, message) } },
    mixin: () => ({ ...values, reqId: values.requestId })
  }
  return subject
}

/** What happens without re-entry: the store is missing, or another request's, wherever Node or Fastify continue elsewhere. */
export function plainStorage (shuffle: Shuffle): Subject {
  interface Values { [name: string]: string | undefined }
  const storage = new AsyncLocalStorage<Values>()
  const own = new WeakMap<object, Values>()
  const subject: Subject = {
    async register (app) {
      app.decorateRequest('ctx' as never, { getter (this: FastifyRequest) { return { get: (name: Name) => own.get(this)?.[name] } } } as never)
      app.addHook('onRequest', (request, reply, done) => {
        const values = { requestId: request.id, reqId: request.id, tenant: request.headers['x-tenant-id'] as string }
        own.set(request, values)
        reply.header('x-request-id', request.id)
        storage.run(values, done)
      })
      app.addHook('onRequest', async () => { await shuffle.pause() })
    },
    get: (name) => storage.getStore()?.[name],
    set (name, value) { Object.assign(storage.getStore() ?? {}, { [name]: value }) },
    run: (inner, fn) => storage.run({ ...storage.getStore(), ...inner }, fn),
    bind: (fn) => AsyncLocalStorage.bind(fn),
    log: { info () {} },
    mixin: () => ({ ...storage.getStore() })
  }
  return subject
}

/** `request.ctx`, which has the types of the ready-made context. */
export function accessOf (request: FastifyRequest): Pick<Subject, 'get'> {
  return request.ctx as unknown as Pick<Subject, 'get'>
}
