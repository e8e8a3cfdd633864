// Servers that receive calls: they record what came, and answer as a test says.
import { once } from 'node:events'
import http, { type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Tap } from '../support/support.ts'

/** A received call. */
export interface Call {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  /** Names and values in turn, as received: a header sent twice is here twice. */
  readonly raw: readonly string[]
}

export interface Upstream {
  readonly port: number
  /** The address of the server. */
  readonly origin: string
  /** The same server by another name, which is another origin. */
  readonly byName: string
  readonly calls: Call[]
  /** A header of each call, in order of arrival. */
  readonly all: (name: string) => unknown[]
}

type Answer = (call: Call, response: ServerResponse, request: IncomingMessage) => unknown

/** Starts a server for one test. */
export async function upstream (t: Tap, answer: Answer = (_call, response) => response.end('ok')): Promise<Upstream> {
  const calls: Call[] = []
  const server = http.createServer((request, response) => {
    const call = { method: request.method!, path: request.url!, headers: request.headers, raw: request.rawHeaders }
    calls.push(call)
    request.resume().on('end', () => answer(call, response, request))
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { port, calls, origin: `http://127.0.0.1:${port}`, byName: `http://localhost:${port}`, all: (name) => calls.map(({ headers }) => headers[name]) }
}

/** Answers with a redirect. */
export function redirect (response: ServerResponse, location: string, status = 302): void {
  response.writeHead(status, { location })
  response.end()
}
