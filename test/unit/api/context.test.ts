import t from 'tap'
import { Context } from '../../../lib/api/context.ts'
import { readKeys } from '../../../lib/config/key-policies.ts'
import { ContextDefinition } from '../../../lib/lifecycle/context-definition.ts'

interface Values { readonly requestId: string, readonly tenant: string }

t.test('a context acts on the current scope of its caller', async (t) => {
  const ctx = new Context<Values>(new ContextDefinition(readKeys({ tenant: {} })))
  t.equal(ctx.get('tenant'), undefined)
  const inner = ctx.run({ tenant: 'acme' }, () => ctx.bind(() => ctx.get('tenant')))
  t.equal(ctx.get('tenant'), undefined)
  t.equal(ctx.run({ tenant: 'globex' }, () => ctx.get('tenant')), 'globex')
  t.equal(ctx.run({ tenant: 'globex' }, inner), 'acme')
})

t.test('two contexts of one definition see the same scopes, a context of another definition sees none', async (t) => {
  const definition = new ContextDefinition(readKeys({ tenant: {} }))
  const [ctx, same, other] = [definition, definition, new ContextDefinition(readKeys({ tenant: {} }))].map((each) => new Context<Values>(each)) as [Context<Values>, Context<Values>, Context<Values>]
  ctx.run({ tenant: 'acme' }, () => { t.same([same.get('tenant'), other.get('tenant')], ['acme', undefined]) })
})

t.test('a context has no own properties, so none can be set by mistake that hides a method', async (t) => {
  t.same(Reflect.ownKeys(new Context<Values>(new ContextDefinition())), [])
})
