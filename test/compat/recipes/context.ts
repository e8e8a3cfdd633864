// The context that the recipes share, in a file of its own as an application has it.
import { createContext, key } from '../../../lib/index.ts'

export const ctx = createContext({
  tenant: key<string>({ seed: (request) => request.headers['x-tenant'], log: true }),
  user: key<{ readonly id: string }>({ log: (user) => user.id })
})
