import { createContext, FST_CTX_NOT_SET, key, type ValuesOf } from 'fastify-ctx'

export interface User { readonly id: string }

// Exported, so that its declaration names the types of the package.
export const ctx = createContext({
  tenant: key<string>({ seed: (request) => request.headers['x-tenant-id'], log: true, carry: true }),
  user: key<User>({ log: (user) => user.id, carry: { pack: (user) => user.id, unpack: (id: string) => ({ id }) } }),
  locale: key<string>({ seed: () => 'de' })
})

declare module 'fastify-ctx/types' {
  interface ContextValues extends ValuesOf<typeof ctx> {}
}

export function codeOf (error: unknown): 'FST_CTX_NOT_SET' | undefined {
  if (!(error instanceof FST_CTX_NOT_SET)) return undefined
  // @ts-expect-error An error is not `any`.
  const wrong: number = error.code
  return wrong === undefined ? undefined : error.code
}
