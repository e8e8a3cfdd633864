import { asyncLocalStorage, fastifyRequestContext, requestContext } from '@fastify/request-context'
import type { FastifyInstance } from 'fastify'
import { createContext, key } from '../../../lib/index.ts'

/** A plugin that the points are visited with. */
export interface Subject {
  readonly register: (app: FastifyInstance) => Promise<unknown>
  /** The tenant that is current here. */
  readonly get: () => unknown
  /** Whether `request.ctx` and the log lines are looked at, too. */
  readonly correlated: boolean
  /** Calls a function in an inner scope, as somebody else. */
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

/** The same without re-entry, by public hooks alone. */
export const fastifyCtxByPublicHooks: Subject = {
  ...fastifyCtx,
  register: async (app) => { await app.register(ctx.plugin, { reenter: false }) }
}

/** What there was before: it shows that the points are ones where a value can be lost, and that losses are seen. */
export const fastifyRequestContextPlugin: Subject = {
  register: async (app) => {
    await app.register(fastifyRequestContext, { defaultStoreValues: (request) => ({ tenant: request.headers['x-tenant'] }) as never })
  },
  get: () => requestContext.get('tenant' as never),
  correlated: false,
  within: (tenant, fn) => { asyncLocalStorage.run({ ...asyncLocalStorage.getStore()!, tenant } as never, fn) }
}
