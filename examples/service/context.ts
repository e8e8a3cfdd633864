import { createContext, key, type ValuesOf } from 'fastify-ctx'

export interface User {
  readonly id: string
  readonly tenant: string
}

/** Known from the first hook on, but only claimed: `authenticate` checks the claim against the token. */
const TENANT = /^[a-z][a-z0-9-]{0,31}$/

export const ctx = createContext({
  tenant: key<string>({
    seed: ({ headers: { 'x-tenant-id': tenant } }) => tenant !== undefined && TENANT.test(tenant) ? tenant : undefined,
    log: true
  }),
  user: key<User>({ log: (user) => user.id })
})

declare module 'fastify-ctx/types' {
  interface ContextValues extends ValuesOf<typeof ctx> {}
}
