// The context that the recipes share, in its own file as in an application.
import { createContext, key } from '../../../lib/index.ts'

export const ctx = createContext({
  tenant: key<string>({ seed: (request) => request.headers['x-tenant'], log: true }),
  user: key<{ readonly id: string }>({ log: (user) => user.id })
})
