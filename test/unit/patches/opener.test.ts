import Fastify from 'fastify'
import t from 'tap'
import { createContext, key } from '../../../lib/index.ts'
import { isOpener, markOpener } from '../../../lib/patches/opener.ts'
import { listen, turns, warnings } from '../../support/support.ts'

t.test('our hook is recognized by its mark, not by its name, even after Fastify has bound it', async (t) => {
  const hook = markOpener(Object.defineProperty(() => {}, 'name', { value: 'a' }))
  t.equal(isOpener(hook.bind({})), true)
  t.equal(isOpener(() => {}), false)
})

t.test('a wrapper that copies the properties of the hook, as tracers create, is bound itself, and sees a seed that fails', async (t) => {
  const ctx = createContext({ tenant: key<string>({ seed: () => { throw new Error('no tenant') } }) })
  const app = Fastify()
  const { addHook } = app
  const heard: unknown[] = []
  app.addHook = function (this: typeof app, name: string, hook: (...args: unknown[]) => unknown) {
    const wrapper = (...args: unknown[]): unknown => {
      const done = args.at(-1) as (error?: unknown) => unknown
      return hook(...args.slice(0, -1), (error?: unknown) => {
        heard.push((error as Error | undefined)?.message)
        return done(error)
      })
    }
    if (name === 'onRequest') Object.defineProperties(wrapper, Object.getOwnPropertyDescriptors(hook))
    return addHook.call(this, name as 'onRequest', (name === 'onRequest' ? wrapper : hook) as never)
  } as typeof addHook
  await app.register(ctx.plugin)
  app.get('/', async () => 'ok')
  const { url } = await listen(t, app)
  for (let i = 0; i < 2; i++) t.equal((await fetch(url)).status, 500)
  t.same(heard, ['no tenant', 'no tenant'])
})

t.test('a hook before the plugin is watched, and ours is not, even if a bundler has shortened every name', async (t) => {
  const ctx = createContext({ tenant: key<string>({ seed: () => 'acme' }) })
  const seen = warnings(t, 'FST_CTX_EARLY_READ')
  const app = Fastify()
  const { addHook } = app
  let opener: ((...args: unknown[]) => unknown) | undefined
  app.addHook = function (this: typeof app, name: string, hook: never) {
    if (name === 'onRequest') opener = Object.defineProperty(hook as object, 'name', { value: 'a' }) as never
    return addHook.call(this, name as 'onRequest', hook)
  } as typeof addHook
  app.addHook('onRequest', async () => { ctx.get('tenant') })
  await app.register(ctx.plugin)
  t.equal(opener!.name, 'a')
  app.get('/', async () => ctx.get('tenant'))
  const { url } = await listen(t, app)
  for (let i = 0; i < 2; i++) t.equal(await (await fetch(url)).text(), 'acme')
  await turns()
  t.equal(seen.length, 1, 'the hook before the opener, and nothing after it')
})
