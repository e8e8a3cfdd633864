import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import { createContext, key } from '../../../lib/index.ts'
import { listenToWrites, registrationsOf } from '../../../lib/scope/registrations.ts'
import type { Registration, Scope } from '../../../lib/scope/scope.ts'

t.test('an application has the registrations of all contexts, including those in encapsulated instances', async (t) => {
  const contexts = [createContext({ tenant: key<string>({ seed: () => 'acme' }) }), createContext({ user: key<string>({ seed: () => 'ada' }) })] as const
  const app = Fastify()
  t.equal(registrationsOf(app.server).size, 0)
  await app.register(contexts[0].plugin)
  await app.register(async (child: FastifyInstance) => {
    await child.register(contexts[1].plugin)
    child.get('/', async () => 'ok')
  })
  await app.ready()
  t.equal(registrationsOf(app.server).size, 2)
  t.equal(registrationsOf(Fastify().server).size, 0, 'another application has none of them')
  const written: string[] = []
  for (const registration of registrationsOf(app.server)) listenToWrites(registration, ({ store }, name) => { written.push(`${name}: ${String(store[name])}`) })
  await app.inject('/')
  t.same(written, ['tenant: acme', 'user: ada'])
})

for (const order of [[0, 1], [1, 0]]) {
  t.test(`listenToWrites: two new listeners and an existing one hear each write, and stopping in the order ${order.join(', ')} restores it`, async (t) => {
    const heard: string[] = []
    const scope = {} as Scope
    const before: Registration['onWrite'] = (_scope, name) => { heard.push(`before ${name}`) }
    const registration = { onWrite: before } as Registration
    const stops = ['a', 'b'].map((listener) => listenToWrites(registration, (written, name) => { heard.push(`${listener} ${name} ${written === scope}`) }))
    registration.onWrite!(scope, 'tenant')
    t.same(heard.splice(0), ['before tenant', 'a tenant true', 'b tenant true'])
    stops[order[0]!]!()
    stops[order[0]!]!()
    registration.onWrite!(scope, 'user')
    t.same(heard.splice(0), ['before user', `${order[0] === 0 ? 'b' : 'a'} user true`])
    stops[order[1]!]!()
    t.equal(registration.onWrite, before)
    stops[order[1]!]!()
    t.equal(registration.onWrite, before)
  })
}
