import Fastify from 'fastify'
import t from 'tap'
import { decorators } from '../../../lib/patches/decorators.ts'

t.test('decorators: decorating with requestContext is refused, other decorators work, and both methods are restored', async (t) => {
  const app = Fastify()
  const before = { decorate: app.decorate, decorateRequest: app.decorateRequest }
  let refused = 0
  t.equal(decorators.available(app), true)
  t.equal(decorators.available({} as never), false)
  const revert = decorators.install(app, (_method, name) => { if (name !== 'requestContext') return false; refused++; return true })
  t.not(app.decorate, before.decorate)
  t.same([app.decorate.name, app.decorate.length], [before.decorate.name, before.decorate.length])
  t.equal(app.decorate('requestContext', {} as never), app)
  t.equal(app.decorateRequest('requestContext', null as never), app)
  app.decorate('mine', 1)
  t.same([refused, app.hasDecorator('requestContext'), app.hasDecorator('mine')], [2, false, true])
  revert()
  t.equal(app.decorate, before.decorate)
  t.equal(app.decorateRequest, before.decorateRequest)
})

t.test('in a child instance the method is inherited again, and a later replacement by another tool stays', async (t) => {
  const app = Fastify()
  app.register(async (child) => {
    const revert = decorators.install(child, () => false)
    t.equal(Object.hasOwn(child, 'decorate'), true)
    const theirs = child.decorateRequest.bind(child)
    child.decorateRequest = theirs as never
    revert()
    t.equal(Object.hasOwn(child, 'decorate'), false)
    t.equal(child.decorateRequest, theirs)
  })
  await app.ready()
})
