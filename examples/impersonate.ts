// Support acts as a customer: it sees the customer's data, and each log line says who acted, for whom, and why.
import Fastify from 'fastify'
import { createContext, key } from 'fastify-ctx'

const ctx = createContext({
  tenant: key<string>({ seed: ({ headers }) => headers['x-tenant-id'], log: true, locked: true }),
  user: key<{ readonly id: string }>({ log: ({ id }) => id })
})

/** Has no access to requests or impersonation. */
function invoices (): string {
  ctx.log.info('invoices read')
  return `invoices of ${ctx.require('user').id} of ${ctx.require('tenant')}`
}

const app = Fastify({ logger: { base: null, timestamp: false } })
await app.register(ctx.plugin)
app.addHook('preHandler', async () => { ctx.set('user', { id: 'support' }) })

app.get('/invoices/:customer', async (request) => {
  const { customer } = request.params as { customer: string }
  const shown = await ctx.impersonate({ user: { id: customer }, tenant: 'globex' }, { reason: 'ticket 4711' }, async () => {
    return `${invoices()}, shown to ${ctx.actor('user')?.id} of ${ctx.actor('tenant')}`
  })
  ctx.log.info('afterwards')
  return `${shown}; then ${ctx.require('user').id} of ${ctx.require('tenant')} again`
})

// A support session: every route of this part of the application works as the customer named in the URL.
await app.register(async (support) => {
  support.addHook('preHandler', async (request) => {
    const { customer } = request.params as { customer: string }
    ctx.impersonate({ user: { id: customer }, tenant: 'globex' }, { reason: 'ticket 4712', rest: true })
  })
  support.get('/as/:customer/invoices', async () => invoices())
})

const url = await app.listen({ host: '127.0.0.1', port: 0 })
const answer = await fetch(`${url}/invoices/ada`, { headers: { 'x-tenant-id': 'acme', 'x-request-id': 'demo-1' } })
console.log(await answer.text())
const session = await fetch(`${url}/as/lin/invoices`, { headers: { 'x-tenant-id': 'acme', 'x-request-id': 'demo-2' } })
console.log(await session.text())
await app.close()
