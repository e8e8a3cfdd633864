// Measures one variant in a process of its own: CPU microseconds a request, printed as one number.
import { connect } from 'node:net'
import { once } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import { service } from './services.mjs'

const [name, method, lines, transport, requests] = process.argv.slice(2)
const app = await service(name, Number(lines))
const body = method === 'POST' ? '{"a":1}' : undefined
const send = transport === 'inject' ? injected() : await overSocket()

await sendMany(5000)
const before = process.cpuUsage()
await sendMany(Number(requests))
const { user, system } = process.cpuUsage(before)
console.log((user + system) / Number(requests))
process.exit()

async function sendMany (count) {
  for (let i = 0; i < count; i++) {
    await send()
    // Injected requests never leave the microtasks: without a turn of the loop nothing of them is collected.
    if (i % 4 === 0) await turn()
  }
}

function injected () {
  const options = { method, url: '/', headers: { 'x-tenant-id': 'acme', ...(body && { 'content-type': 'application/json' }) }, ...(body && { payload: body }) }
  return () => app.inject(options)
}

/** One keep-alive connection, one request after the other: the client's share of the time is the same for all. */
async function overSocket () {
  await app.listen({ port: 0, host: '127.0.0.1' })
  const socket = connect(app.server.address().port, '127.0.0.1')
  await once(socket, 'connect')
  const head = `${method} / HTTP/1.1\r\nhost: localhost\r\nx-tenant-id: acme\r\n`
  const message = body === undefined ? `${head}\r\n` : `${head}content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`
  return () => new Promise((resolve) => {
    socket.once('data', resolve)
    socket.write(message)
  })
}
