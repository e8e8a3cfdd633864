// A chat over one websocket: each message has its own id on its log lines, next to the id of the connection.
import { once } from 'node:events'
import websocket from '@fastify/websocket'
import Fastify from 'fastify'
import { createContext, key } from 'fastify-ctx'
import { WebSocket } from 'ws'

const ctx = createContext({
  tenant: key<string>({ seed: ({ headers }) => headers['x-tenant-id'], log: true, locked: true }),
  connection: key<object>({ detach: false })
})

/** A repository that opens a scope for its transaction. */
const transaction = async <R>(fn: () => Promise<R>): Promise<R> => await ctx.run({ connection: {} }, async () => await fn())

/** Called once per message, for any transaction that asks. */
const rights = ctx.root.memo(async () => {
  ctx.log.info('rights loaded')
  return `rights in ${ctx.require('tenant')}`
})

/** What all sockets share is made outside of them: its lines name no tenant. */
let timer: NodeJS.Timeout | undefined
const heartbeat = (): NodeJS.Timeout => (timer ??= ctx.exit(() => setInterval(() => { ctx.log.info('still here') }, 5)))

async function handle (text: string): Promise<string> {
  heartbeat()
  ctx.root.onEnd(() => { ctx.log.info('message handled') })
  await transaction(async () => await rights())
  return await transaction(async () => `${text}, with ${await rights()}`)
}

const app = Fastify({ logger: { base: null, timestamp: false } })
await app.register(ctx.plugin)
await app.register(websocket)
app.get('/chat', { websocket: true }, (socket) => {
  socket.on('message', (data) => {
    const { id, text } = JSON.parse(String(data)) as { id: unknown, text: string }
    // The id comes from the client. An id that is unsafe in a log is replaced by a UUID.
    ctx.run({}, async () => { socket.send(await handle(text)) }, { messageId: id }).catch((error: unknown) => { ctx.log.error(error) })
  })
})

const url = await app.listen({ host: '127.0.0.1', port: 0 })
const socket = new WebSocket(`${url.replace('http', 'ws')}/chat`, { headers: { 'x-tenant-id': 'acme', 'x-request-id': 'demo-1' } })
await once(socket, 'open')
for (const message of [{ id: 'm-1', text: 'hello' }, { id: '<script>', text: 'hello again' }]) {
  socket.send(JSON.stringify(message))
  console.log(String((await once(socket, 'message'))[0]))
}
await new Promise((resolve) => { setTimeout(resolve, 50) })
socket.close()
clearInterval(heartbeat())
await app.close()
