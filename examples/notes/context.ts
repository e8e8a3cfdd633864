import '@fastify/jwt'
import { createContext, key, type SeedRequest, type ValuesOf } from 'fastify-ctx'
import type { PoolClient } from 'pg'
import { NO_USER } from './errors.ts'

/** The claims of our tokens. */
export interface Claims {
  readonly sub: string
  readonly tenant?: string
}

export interface User {
  readonly id: string
}

export const ctx = createContext({
  /** Never logged, never carried: that is the default. */
  claims: key<Claims>({ seed: verify }),
  /** Selects the rows that the database shows. Once set, only `ctx.impersonate` can replace it. */
  tenant: key<string>({ seed: (): string | undefined => ctx.get('claims')?.tenant || undefined, log: true, locked: true, carry: true }),
  /** Jobs get only the id. */
  user: key<User>({
    seed: (): User | undefined => userOf(ctx.get('claims')?.sub),
    log: (user) => user.id,
    locked: true,
    carry: { pack: (user) => user.id, unpack: userOf }
  }),
  /** The connection of an open transaction. Work that outlives the transaction must not use it, because the next tenant may. */
  connection: key<PoolClient>({ detach: false })
})

declare module 'fastify-ctx/types' {
  interface ContextValues extends ValuesOf<typeof ctx> {}
}

/** @fastify/jwt answers some bad tokens with 400 or 500. For a client they all mean that there is no user. The log has the cause. */
async function verify (request: SeedRequest): Promise<Claims | undefined> {
  if (request.headers.authorization === undefined) return undefined
  try {
    return await request.jwtVerify<Claims>()
  } catch (cause) {
    throw new NO_USER({ cause })
  }
}

function userOf (id: unknown): User | undefined {
  return typeof id === 'string' ? { id } : undefined
}
