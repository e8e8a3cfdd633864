import createError from '@fastify/error'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { ctx } from './context.ts'

export const NO_TENANT = createError('NO_TENANT', 'send the header x-tenant-id: a lower-case letter, then up to 31 letters, digits or hyphens', 400)
export const NO_USER = createError('NO_USER', 'send a valid token, as in authorization: Bearer <token>', 401)
export const OTHER_TENANT = createError('OTHER_TENANT', 'this token is for another tenant', 403)
export const NO_SUCH_NOTE = createError('NO_SUCH_NOTE', "there is no note '%s'", 404)

/** Answers with the code of an error. Of one that nobody foresaw, only the log tells more than the id to look for. */
export async function answerError (error: FastifyError, _request: FastifyRequest, reply: FastifyReply): Promise<object> {
  const { statusCode = 500, code, message, cause } = error
  reply.code(statusCode)
  if (statusCode < 500) {
    ctx.log.info({ code, cause: cause instanceof Error ? cause.message : undefined }, message)
    return { statusCode, code, message }
  }
  ctx.log.error(error)
  return { statusCode, code: 'INTERNAL', message: 'this is our fault; tell us the requestId', requestId: ctx.get('requestId') }
}
