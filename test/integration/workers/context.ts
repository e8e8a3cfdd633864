// The context of both sides, imported by the test and by the tasks in its worker threads and child processes.
import { createContext, key } from '../../../lib/index.ts'

export interface User { readonly id: string }

/** Users that no longer exist. */
const loadUser = async (id: unknown): Promise<User> => {
  await null
  if (typeof id !== 'string' || id.startsWith('gone')) throw new Error('no such user')
  return { id }
}

export const ctx = createContext({
  tenant: key<string>({ seed: ({ headers }) => headers['x-tenant-id'], log: true, carry: true, locked: true }),
  user: key<User>({ seed: ({ headers }) => ({ id: headers['x-user'] ?? 'nobody' }), log: (user) => user.id, carry: { pack: (user) => user.id, unpack: loadUser } }),
  token: key<string>({ seed: () => 'secret' })
})

/** What code sees in a task, or outside any. */
export interface Seen { readonly requestId?: string, readonly tenant?: string, readonly user?: string, readonly token?: string }

export function look (): Seen {
  const { requestId, tenant, user, token } = { requestId: ctx.get('requestId'), tenant: ctx.get('tenant'), user: ctx.get('user')?.id, token: ctx.get('token') }
  // As JSON: `child.send` leaves out undefined members.
  return JSON.parse(JSON.stringify({ requestId, tenant, user, token })) as Seen
}

/** What each task must see of its caller: one of three tenants, and a separate user per caller. */
export function callerOf (n: number): { readonly requestId: string, readonly tenant: string, readonly user: string } {
  return { requestId: `request-${n}`, tenant: `tenant-${n % 3}`, user: `user-${n}` }
}
