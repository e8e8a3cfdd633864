// A small application that prints what the context returns in it, as one line of JSON: run directly, by another runtime, or from a bundle.
// scripts/test-toolchains.mjs and test/repo/toolchains.test.ts judge it.
import Fastify from 'fastify'
import { createContext, key } from 'fastify-ctx'

const ctx = createContext({
  tenant: key({ seed: (request) => request.headers['x-tenant-id'], log: true }),
  user: key({ log: (user) => user.id })
})

const anywhere = () => ctx.get('tenant')

async function main () {
  const lines = []
  const warnings = []
  process.on('warning', ({ code, message }) => { warnings.push({ code, message }) })
  const app = Fastify({ logger: { stream: { write: (line) => { lines.push(line) } } } })
  await app.register(ctx.plugin)
  let late
  app.addHook('preHandler', async (request) => { request.ctx.user = { id: 'ada', password: 'secret' } })
  app.get('/', async (request) => {
    await new Promise((resolve) => setTimeout(resolve, 10))
    request.log.info('deep')
    return { tenant: anywhere(), id: request.id }
  })
  app.get('/late', async () => { late = ctx.bind(() => anywhere()) })
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  const answers = await Promise.all(['acme', 'globex'].map(async (tenant) => {
    const response = await fetch(url, { headers: { 'x-tenant-id': tenant } })
    return { ...await response.json(), echoed: response.headers.get('x-request-id') }
  }))
  await (await fetch(`${url}/late`, { headers: { 'x-tenant-id': 'acme' } })).text()
  await new Promise((resolve) => setTimeout(resolve, 50))
  const read = late()
  await new Promise((resolve) => setTimeout(resolve, 50))
  await app.close()
  console.log(JSON.stringify({ answers, lines: lines.filter((line) => line.includes('"deep"')), warnings, read: read === undefined }))
}

main().catch((error) => {
  console.error(error)
  process.exitCode = 1
})
