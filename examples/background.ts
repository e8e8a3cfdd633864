// Work around the end of a request: cleanup, work that continues, work that starts afterwards. Closing the application waits for all of it.
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import { createContext, key } from 'fastify-ctx'

const ctx = createContext({ user: key<string>({ seed: ({ headers }) => headers['x-user'], log: true }) })

const app = Fastify({ logger: { base: null, timestamp: false, level: 'error' } })
await app.register(ctx.plugin, { closeTimeout: 5000 })

app.post('/orders', async (_request, reply) => {
  ctx.onEnd(() => { console.log(`connection of ${ctx.get('user')} released`) })
  ctx.onEnd(async () => { console.log(`order of ${ctx.get('user')} unlocked`) })

  ctx.detach(async function sendMail () {
    await sleep(200)
    console.log(`mail sent to ${ctx.get('user')}`)
    throw new Error('the mail server hung up')
  })

  ctx.after(() => { console.log(`statistics of ${ctx.get('user')} written`) })

  ctx.set('user', 'nobody')
  return reply.code(202).send('accepted')
})

const url = await app.listen({ host: '127.0.0.1', port: 0 })
const answer = await fetch(`${url}/orders`, { method: 'POST', headers: { 'x-user': 'ada', 'x-request-id': 'demo-1' } })
console.log(await answer.text())
await app.close()
console.log('closed')
