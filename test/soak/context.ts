// The context of the service and of its worker threads. Each creates its own.
import { createContext, key } from '../../lib/index.ts'

export interface User { readonly id: string }

/**
 * Creates a context.
 *
 * @param origin the only origin to which outgoing calls carry its values
 */
export function makeContext (origin?: string) {
  return createContext({
    tenant: key<string>({ seed: ({ headers }) => headers['x-tenant-id'], log: true, carry: true, header: 'x-tenant-id' }),
    user: key<User>({ log: (user) => user.id, carry: { pack: (user) => user.id, unpack: loadUser }, header: 'x-user-id' }),
    /** Never logged, never carried. */
    token: key<string>({ seed: ({ headers }) => headers['x-token'] })
  }, origin === undefined ? {} : { propagate: { [origin]: ['requestId', 'tenant', 'user'] } })
}

export type Ctx = ReturnType<typeof makeContext>

async function loadUser (id: unknown): Promise<User> {
  await null
  return { id: String(id) }
}
