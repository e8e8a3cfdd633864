import jwt from '@fastify/jwt'
import Fastify, { type FastifyInstance } from 'fastify'
import { ctx } from './context.ts'
import { answerError } from './errors.ts'
import { lines } from './logging.ts'
import { routes } from './routes.ts'

/**
 * The service, not yet listening.
 *
 * @param secret what signs its tokens
 */
export async function buildApp (secret: string): Promise<FastifyInstance> {
  const app = Fastify({ logger: lines })
  await app.register(ctx.plugin)
  await app.register(jwt, {
    secret,
    sign: { algorithm: 'HS256', expiresIn: '12h' },
    verify: { algorithms: ['HS256'], requiredClaims: ['sub', 'tenant'] }
  })
  app.setErrorHandler(answerError)
  await app.register(routes)
  return app
}
