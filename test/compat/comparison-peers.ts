// The peers that comparison-child.ts runs, each used as in its own docs.
import 'reflect-metadata'
import { AsyncLocalStorage } from 'node:async_hooks'
import requestContextPlugin, { asyncLocalStorage, requestContext } from '@fastify/request-context'
import { Module } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { FastifyAdapter } from '@nestjs/platform-fastify'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import { ClsModule, ClsServiceManager } from 'nestjs-cls'
import { createContext, key } from '../../lib/index.ts'
import type { Tap } from '../support/support.ts'

interface Raw { readonly headers: Readonly<Record<string, unknown>> }
/** Closes what was opened for a row. */
export type Cleanup = Pick<Tap, 'teardown'>

type Find = (request: Raw) => string | undefined | Promise<string>
export type Options = FastifyServerOptions & { readonly http2?: boolean, readonly connectionTimeout?: number }

interface Opening {
  readonly options?: Options
  /** The tenant of a request. */
  readonly find?: Find
  readonly registered?: number
}

/** One way to have a context, as its users write it. */
export interface Peer {
  open (t: Cleanup, opening?: Opening): Promise<FastifyInstance<any, any, any, any>>
  get (): unknown
  set (name: string, value: string): void
  read (name: string): unknown
  /** Calls a function in a nested scope that sees the outer values. */
  nest<R> (fn: () => R): R
}

/** An application over HTTP/1 or HTTP/2. */
function fastify (options: Options): FastifyInstance<any, any, any, any> {
  return Fastify(options as FastifyServerOptions) as unknown as FastifyInstance
}

const byHeader: Find = ({ headers }) => headers['x-tenant'] as string | undefined

const ctx = createContext({ tenant: key<string>({ seed: (request) => find(request) as string, log: true }), late: key<string>() })
let find: Find = byHeader
const als = new AsyncLocalStorage<Record<string, unknown>>()
const cls = ClsServiceManager.getClsService<any>()

/** The plugin of this package, with its defaults and with public hooks alone. */
function ours (options: { readonly reenter?: false }): Peer {
  return {
    async open (_t, { options: server = {}, find: given = byHeader, registered = 1 } = {}) {
      find = given
      const app = fastify(server)
      for (let i = 0; i < registered; i++) await app.register(ctx.plugin, options)
      return app
    },
    get: () => ctx.get('tenant'),
    set: (name, value) => { ctx.set(name as 'late', value) },
    read: (name) => ctx.get(name as 'late'),
    nest: (fn) => ctx.run({}, fn)
  }
}

export const PEERS: Record<string, Peer> = {
  'fastify-ctx': ours({}),
  'reenter: false': ours({ reenter: false }),
  '@fastify/request-context': {
    async open (_t, { options = {}, find = byHeader, registered = 1 } = {}) {
      const app = fastify(options)
      // Its type says that the function that returns the values may not be async. The table says what happens if it is.
      const defaultStoreValues = (request: Raw): any => {
        const tenant = find(request)
        return tenant instanceof Promise ? tenant.then((tenant) => ({ tenant })) : { tenant }
      }
      for (let i = 0; i < registered; i++) await app.register(requestContextPlugin, { defaultStoreValues })
      return app
    },
    get: () => requestContext.get('tenant' as never),
    set: (name, value) => { requestContext.set(name as never, value as never) },
    read: (name) => requestContext.get(name as never),
    nest: (fn) => asyncLocalStorage.run({ ...requestContext.getStore() } as never, fn)
  },
  'nestjs-cls': {
    async open (t, { options = {}, find = byHeader, registered = 1 } = {}) {
      const setup = async (service: typeof cls, request: Raw): Promise<void> => { service.set('tenant', await find(request)) }
      class Service {}
      Module({ imports: Array.from({ length: registered }, () => ClsModule.forRoot({ middleware: { mount: true, debug: false, setup } })) })(Service)
      const nest = await NestFactory.create(Service, new FastifyAdapter(options as object), { logger: false })
      await nest.init()
      t.teardown(() => nest.close())
      return nest.getHttpAdapter().getInstance() as FastifyInstance
    },
    get: () => cls.get('tenant'),
    set: (name, value) => { cls.set(name, value) },
    read: (name) => cls.get(name),
    nest: (fn) => cls.run(fn)
  },
  'by hand': {
    async open (_t, { options = {}, find = byHeader, registered = 1 } = {}) {
      const app = fastify(options)
      for (let i = 0; i < registered; i++) {
        app.addHook('onRequest', (request, _reply, done) => {
          const tenant = find(request)
          if (tenant instanceof Promise) tenant.then((tenant) => { als.run({ tenant }, done) }, done)
          else als.run({ tenant }, done)
        })
      }
      return app
    },
    get: () => als.getStore()?.tenant,
    set: (name, value) => { als.getStore()![name] = value },
    read: (name) => als.getStore()?.[name],
    nest: (fn) => als.run({ ...als.getStore() }, fn)
  }
}
