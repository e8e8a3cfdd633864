// Fastify inside another host: NestJS, AWS Lambda, a cluster.
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import awsLambdaFastify from '@fastify/aws-lambda'
import t from 'tap'
import { ctx } from './recipes/context.ts'
import { headersOf, TENANTS, Watch } from './recipes/watch.ts'
import { LOADER, OUTSIDE } from '../support/processes.ts'

t.test('NestJS: if the plugin is registered on the Fastify instance first, middleware, guards, controllers and providers have the context', async (t) => {
  const { answers, seen } = await runProgram('nest') as { answers: string[], seen: string[][] }
  t.same(answers, TENANTS.map((tenant) => `orders of ${tenant}`))
  t.same(seen, ['guard', 'middleware'].flatMap((place) => TENANTS.map((tenant) => [place, tenant, tenant])))
})

t.test('AWS Lambda: each event is a separate request; wait for detached work before the runtime freezes', async (t) => {
  const watch = new Watch(t)
  const { app } = watch
  const saved: unknown[] = []
  await app.register(ctx.plugin)

  const proxy = awsLambdaFastify(app)
  const handler = async (event: unknown, context: unknown) => {
    const answer = await proxy(event as never, context as never)
    await Promise.all(work.splice(0)) // the runtime freezes the process after the promise of the handler has settled
    return answer
  }

  const work: Array<Promise<void>> = []
  app.get('/', async () => {
    work.push(new Promise((resolve) => { ctx.after(async () => { saved.push(ctx.get('tenant')); resolve() }) }))
    await watch.meet('/')
    return ctx.get('tenant')
  })
  t.teardown(() => app.close())
  const event = (tenant: string): object => ({
    version: '2.0', rawPath: '/', rawQueryString: '', headers: headersOf(tenant), requestContext: { http: { method: 'GET', path: '/' } }, isBase64Encoded: false
  })
  const answers = await Promise.all(TENANTS.map(async (tenant) => await handler(event(tenant), {})))
  t.same(answers.map(({ body }) => body), TENANTS)
  t.same(saved.sort(), TENANTS)
})

t.test('a cluster: each worker process has its own context', async (t) => {
  const seen = await runProgram('cluster') as Array<{ tenant: string, id: string }>
  t.same(seen.map(({ tenant }) => tenant), [...TENANTS, ...TENANTS])
  t.equal(new Set(seen.map(({ id }) => id)).size, 4, 'ids are unique across processes')
})

/** The output of a program of `recipes/`, parsed as JSON. */
async function runProgram (name: string): Promise<unknown> {
  const file = fileURLToPath(new URL(`recipes/${name}.ts`, import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, ['--no-warnings', ...LOADER, file], { env: OUTSIDE, timeout: 60_000 })
  return JSON.parse(stdout) as unknown
}
