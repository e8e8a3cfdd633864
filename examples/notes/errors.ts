import createError from '@fastify/error'

export const NO_USER = createError('NO_USER', 'send a valid token, as in authorization: Bearer <token>', 401)
export const NO_TENANT = createError('NO_TENANT', 'this token names no tenant, so there is nothing to see', 403)
export const NO_SUCH_REPORT = createError('NO_SUCH_REPORT', "there is no report '%s'", 404)
export const QUOTA_REACHED = createError('QUOTA_REACHED', 'there are %d notes: no more, please', 403)
