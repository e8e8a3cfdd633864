import type { FastifyRequest } from 'fastify'
import { ctx } from './context.ts'
import { NO_TENANT, NO_USER, OTHER_TENANT } from './errors.ts'

/** What our tokens say. */
export interface Claims {
  readonly sub: string
  readonly tenant: string
}

/** An onRequest hook: refuses what names no tenant, before the body is read. */
export async function requireTenant (): Promise<void> {
  if (!ctx.has('tenant')) throw new NO_TENANT()
}

/** A preHandler hook: from here on every line says who it was. */
export async function authenticate (request: FastifyRequest): Promise<void> {
  const { sub, tenant } = await verify(request)
  request.ctx.user = { id: sub, tenant }
  // Who may read is decided here, once: whatever runs later only asks the context.
  if (tenant !== request.ctx.tenant) throw new OTHER_TENANT()
}

/** @fastify/jwt answers some bad tokens with 400 or 500; to a client each is the same: no user. The log has the cause. */
async function verify (request: FastifyRequest): Promise<Claims> {
  try {
    return await request.jwtVerify<Claims>()
  } catch (cause) {
    throw new NO_USER({ cause })
  }
}
