// context.ts
import { createContext, key, type ValuesOf } from 'fastify-ctx'

interface User { readonly id: string, readonly name: string }

export const ctx = createContext({
  tenant: key<string>({
    seed: (request) => request.headers['x-tenant-id'],
    log: true, // on each log line
    carry: true, // to jobs and workers
    header: 'x-tenant-id', // to the origins below
    locked: true // once set, only ctx.impersonate can change it
  }),
  user: key<User>({ log: (user) => user.id, missing: 401 }),
  token: key<string>() // never logged, never carried, never sent
}, {
  propagate: { 'https://*.internal.example': ['requestId', 'tenant'] }
})

declare module 'fastify-ctx/types' {
  interface ContextValues extends ValuesOf<typeof ctx> {} // types request.ctx
}
