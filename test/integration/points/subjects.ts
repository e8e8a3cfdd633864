import { asyncLocalStorage, fastifyRequestContext, requestContext } from '@fastify/request-context'
import type { FastifyInstance } from 'fastify'
import { createContext, key } from '../../../lib/index.ts'

/** A plugin to visit the points with. */
export interface Subject {
  readonly register: (app: FastifyInstance) => Promise<unknown>
  /** The current tenant. */
  readonly get: () => unknown
  /** Whether to check `request.ctx` and the log lines as well. */
  readonly correlated: boolean
  /** Calls a function in an inner scope, with another tenant. */
  readonly within: (tenant: string, fn: () => void, how: 'run' | 'impersonate') => void
}

export const ctx = createContext({
  tenant: key<string>({ seed: (request) => request.headers['x-tenant'], log: true })
})

export const fastifyCtx: Subject = {
  register: async (app) => { await app.register(ctx.plugin) },
  get: () => ctx.get('tenant'),
  correlated: true,
  within: (tenant, fn, how) => {
    if (how === 'run') ctx.run({ tenant }, fn)
    else ctx.impersonate({ tenant }, { reason: 'a point' }, fn)
  }
}

/** The same without re-entry, with public hooks only. */
export const fastifyCtxByPublicHooks: Subject = {
  ...fastifyCtx,
  register: async (app) => { await app.register(ctx.plugin, { reenter: false }) }
}

/** The plugin that existed before. It shows that values can be lost at these points, and that losses are detected. */
export const fastifyRequestContextPlugin: Subject = {
  register: async (app) => {
    await app.register(fastifyRequestContext, { defaultStoreValues: (request) => ({ tenant: request.headers['x-tenant'] }) as never })
  },
  get: () => requestContext.get('tenant' as never),
  correlated: false,
  within: (tenant, fn) => { asyncLocalStorage.run({ ...asyncLocalStorage.getStore()!, tenant } as never, fn) }
}
