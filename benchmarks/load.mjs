// Sends requests to a service that is measured in this process.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const CONNECTIONS = 10

/** Returns a function that sends this many requests of one kind by `inject`, one after another. */
export function injected (app, { method = 'GET', url = '/' } = {}) {
  const payload = method === 'POST' ? '{"a":1}' : undefined
  const headers = { 'x-tenant-id': 'acme', ...(payload !== undefined && { 'content-type': 'application/json' }) }
  return async (count) => {
    for (let i = 0; i < count; i++) {
      const { statusCode, body } = await app.inject({ method, url, headers, ...(payload !== undefined && { payload }) })
      if (statusCode !== 200) throw new Error(body)
      // Injected requests never leave the microtask queue. Without a turn of the loop no request ever ends.
      if (i % 4 === 3) await turn()
    }
  }
}

/** Requests of one kind that all wait before the first is answered. */
export function together (app, gate, atOnce) {
  return async (count) => {
    for (let sent = 0; sent < count; sent += atOnce) {
      const answers = holdRequests(app, Math.min(atOnce, count - sent))
      await turn()
      gate.open()
      await answers
      gate.close()
      await turn()
    }
  }
}

/** Starts requests that wait for the gate. */
function holdRequests (app, count) {
  const headers = { 'x-tenant-id': 'acme' }
  return Promise.all(Array.from({ length: count }, () => app.inject({ url: '/held', headers })))
}

/** Requests of one kind from another process: one at a time per connection, or `pipelined`, all at once. */
export async function overSockets (app, { method = 'GET', path = '/', pipelined = false } = {}) {
  if (!app.server.listening) await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address()
  return async (count) => {
    client().send({ port, method, path, count, connections: CONNECTIONS, pipelined })
    const [{ error }] = await once(client(), 'message')
    if (error !== undefined) throw new Error(error)
  }
}

let started

function client () {
  // A profiler of this process must not measure the client.
  started ??= fork(fileURLToPath(new URL('client.mjs', import.meta.url)), { execArgv: [] })
  return started
}

/** Stops the client, so that this process can exit. */
export function stopClient () {
  started?.disconnect()
}
