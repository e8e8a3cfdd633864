import { fileURLToPath } from 'node:url'
import Fastify from 'fastify'
import t from 'tap'
import { importFile, loadApplication } from '../../../../lib/testing/check/application.ts'

const file = (name: string): string => fileURLToPath(new URL(`apps/${name}.ts`, import.meta.url))

for (const [name, url] of [['instance', '/health'], ['crossing', '/orders'], ['plugin', '/echo/:text']] as const) {
  t.test(`an application of a module (${name}) is loaded with its routes, and is ready`, async (t) => {
    const { app, routes } = await loadApplication(file(name))
    t.teardown(() => app.close())
    t.ok(routes.some((route) => route.url === url))
    t.equal((await app.inject(url.replace(':text', 'x'))).statusCode, 200)
  })
}

t.test('a module with another export is refused', async (t) => {
  for (const name of ['nothing', 'wrong']) await t.rejects(loadApplication(file(name)), { code: 'FST_CTX_INVALID_ARGUMENT', message: /exports, as default or as app/ }, name)
})

t.test('an instance that existed before has no known routes', async (t) => {
  const app = Fastify()
  Object.assign(globalThis, { applicationOfTest: app })
  const directory = t.testdir({ 'app.mjs': 'export default globalThis.applicationOfTest' })
  t.same((await loadApplication(`${directory}/app.mjs`)).routes, [])
})

t.test('a JSON file is its own default export', async (t) => {
  t.same(await importFile(`${t.testdir({ 'list.json': '[1]' })}/list.json`), { default: [1] })
})
