// nestjs-cls on NestJS on Fastify.
import { ClsModule, ClsServiceManager } from 'nestjs-cls'
import { startNest } from './nest.mjs'
import { counter, findTenant, findUser } from './work.mjs'

export async function start () {
  const cls = ClsServiceManager.getClsService()
  const middleware = {
    mount: true,
    generateId: true,
    idGenerator: counter(),
    setup (cls, request) {
      cls.set('tenant', findTenant(request))
      cls.set('user', findUser(request))
    }
  }
  return await startNest(() => ({ id: cls.getId(), tenant: cls.get('tenant'), user: cls.get('user') }), [ClsModule.forRoot({ middleware })])
}
