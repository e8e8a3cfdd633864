import jwt from '@fastify/jwt'
import Fastify, { type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { ctx } from './context.ts'
import type { Jobs } from './jobs.ts'
import { lines } from './logging.ts'
import { routes } from './routes.ts'

/**
 * Builds the service, which is not listening yet.
 *
 * @param secret signs its tokens
 */
export async function buildApp (secret: string, jobs: Jobs): Promise<FastifyInstance> {
  const app = Fastify({ logger: lines })
  await app.register(ctx.plugin)
  await app.register(jwt, {
    secret,
    sign: { algorithm: 'HS256', expiresIn: '12h' },
    verify: { algorithms: ['HS256'], requiredClaims: ['sub'] }
  })
  app.setErrorHandler(answerError)
  await app.register(routes, { jobs })
  return app
}

/** Responds with the code of an error. For an unexpected error, only the log has details, and the response has the id to search for. */
async function answerError (error: FastifyError, _request: FastifyRequest, reply: FastifyReply): Promise<object> {
  const { statusCode = 500, code, message, cause } = error
  reply.code(statusCode)
  if (statusCode < 500) {
    ctx.log.info({ code, cause: cause instanceof Error ? cause.message : undefined }, message)
    return { statusCode, code, message }
  }
  ctx.log.error(error)
  return { statusCode, code: 'INTERNAL', message: 'this is our fault: report it with its requestId', requestId: ctx.get('requestId') }
}
