import Fastify from 'fastify'
import t from 'tap'
import { createContext, key } from '../../../lib/index.ts'
import { isOpener, markOpener } from '../../../lib/patches/opener.ts'
import { listen, turns, warnings } from '../../support/support.ts'

t.test('a hook is known by its mark, whatever its name, and Fastify binds it without losing that', async (t) => {
  const hook = markOpener(Object.defineProperty(() => {}, 'name', { value: 'a' }))
  t.equal(isOpener(hook.bind({})), true)
  t.equal(isOpener(() => {}), false)
})

t.test('a hook before the plugin is reported, and the opener is left as it is, where a bundler has shortened every name', async (t) => {
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
