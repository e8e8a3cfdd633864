// A cluster: each worker has its own context, and the primary has none.
import cluster from 'node:cluster'
import { once } from 'node:events'
import Fastify from 'fastify'
import { ctx } from './context.ts'

if (cluster.isPrimary) {
  const workers = [cluster.fork(), cluster.fork()]
  const ports = await Promise.all(workers.map(async (worker) => (await once(worker, 'message') as [number])[0]))
  const seen = await Promise.all(ports.flatMap((port) => ['acme', 'globex'].map(async (tenant) => {
    return await (await fetch(`http://127.0.0.1:${port}/`, { headers: { 'x-tenant': tenant } })).json() as { tenant: string, id: string }
  })))
  for (const worker of workers) worker.kill()
  process.stdout.write(JSON.stringify(seen))
} else {
  const app = Fastify()
  await app.register(ctx.plugin)
  app.get('/', async () => ({ tenant: ctx.get('tenant'), id: ctx.get('requestId') }))
  await app.listen({ port: 0, host: '127.0.0.1', exclusive: true } as object)
  process.send!((app.server.address() as { port: number }).port)
}
