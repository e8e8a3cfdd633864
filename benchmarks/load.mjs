// How requests are sent to a service that is measured in this process.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const CONNECTIONS = 10

/** Requests of one kind by `inject`, one after the other: a function that sends as many as it is told. */
export function injected (app, { method = 'GET', url = '/' } = {}) {
  const payload = method === 'POST' ? '{"a":1}' : undefined
  const headers = { 'x-tenant-id': 'acme', ...(payload !== undefined && { 'content-type': 'application/json' }) }
  return async (count) => {
    for (let i = 0; i < count; i++) {
      const { statusCode, body } = await app.inject({ method, url, headers, ...(payload !== undefined && { payload }) })
      if (statusCode !== 200) throw new Error(body)
      // Injected requests never leave the microtasks: without a turn of the loop no request is ever over.
      if (i % 4 === 3) await turn()
    }
  }
}

/** Requests of one kind that are all under way before the first of them is answered. */
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

/** Requests of one kind from another process: one at a time on each connection, or `pipelined`, all at once. */
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
  // Whatever measures this process is not to measure that one.
  started ??= fork(fileURLToPath(new URL('client.mjs', import.meta.url)), { execArgv: [] })
  return started
}

/** Ends what was started, so that this process can end. */
export function stopClient () {
  started?.disconnect()
}
