import { createContext, key } from 'fastify-ctx'

/** @typedef {{ id: string }} User */

export const ctx = createContext({
  tenant: key({ seed: (request) => request.headers['x-tenant-id'] ?? 'public', log: true }),
  // JSDoc cannot write key<User>(): the policy says the type, or a cast does.
  user: /** @type {import('fastify-ctx').Key<User>} */ (key({ log: (/** @type {User} */ user) => user.id }))
})

/** @type {string | undefined} */
export const tenant = ctx.get('tenant')
/** @type {User} */
export const user = ctx.require('user')

// @ts-expect-error An unknown key.
ctx.get('tenantt')
// @ts-expect-error A value of another type.
ctx.set('user', 1)
