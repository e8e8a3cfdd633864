// A request runs its heavy work in a pool of threads, which all requests share.
import Fastify from 'fastify'
import { carry } from 'fastify-ctx/worker'
import { Piscina } from 'piscina'
import { ctx } from './context.ts'

const pool = new Piscina({ filename: new URL('thread.mjs', import.meta.url).href, execArgv: [], minThreads: 1, maxThreads: 1, concurrentTasksPerWorker: 2 })
const app = Fastify()
await app.register(ctx.plugin)
app.addHook('onClose', () => pool.destroy())
app.get<{ Params: { month: string } }>('/reports/:month', ({ params: { month } }) => pool.run(carry(ctx, { month })))

const url = await app.listen({ host: '127.0.0.1', port: 0 })
const answers = await Promise.all(['acme', 'globex'].map(async (tenant) => {
  const headers = { 'x-request-id': `demo-${tenant}`, 'x-tenant-id': tenant, authorization: 'secret' }
  return await (await fetch(`${url}/reports/2026-11`, { headers })).text()
}))
console.log(answers.join('\n'))
await app.close()
