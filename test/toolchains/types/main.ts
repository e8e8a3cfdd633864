import Fastify from 'fastify'
import { ctx, type User } from './context.js'

export const app = Fastify()
app.register(ctx.plugin, { requestId: { header: 'x-correlation-id' } })
app.get('/', { config: { context: { require: ['tenant'] } } }, async (request) => {
  const user: User | undefined = request.ctx.user
  const locale: string = request.ctx.locale
  // @ts-expect-error An unknown key.
  const unknown: unknown = request.ctx.tenantt
  return { user, locale, unknown, tenant: request.ctx.tenant }
})
export const tenant: string | undefined = ctx.get('tenant')
// @ts-expect-error A value of another type.
export const other = (): void => ctx.set('tenant', 1)
