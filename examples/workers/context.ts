// The context of both sides, the server and its threads. Only keys with carry are carried.
import { createContext, key } from 'fastify-ctx'

export const ctx = createContext({
  tenant: key<string>({ seed: ({ headers }) => headers['x-tenant-id'], log: true, carry: true, locked: true }),
  token: key<string>({ seed: ({ headers }) => headers.authorization })
})
