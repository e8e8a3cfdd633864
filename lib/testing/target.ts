import { once } from 'node:events'
import type { Server } from 'node:http'
import { Server as TlsServer } from 'node:tls'
import type { FastifyInstance } from 'fastify'
import { FST_CTX_INVALID_ARGUMENT } from '../common/errors.ts'

/** Any application, with any server, logger and type provider. */
export type App = FastifyInstance<any, any, any, any, any>

/** The address for requests. */
export interface Target {
  readonly server: Server
  readonly secure: boolean
  readonly host: string
  readonly port: number
  /** Closes what was opened. */
  readonly close: () => Promise<void>
}

/**
 * Makes an application ready, and finds the port it listens on. If it does not listen yet, its own server listens until `close`
 * on a free port of 127.0.0.1. Afterwards the application is as before, neither listening nor closed, and its onListen hooks have not
 * run.
 *
 * @throws FST_CTX_INVALID_ARGUMENT it is not a Fastify instance, or not one that receives requests over HTTP/1 and a port
 */
export async function openTarget (app: App): Promise<Target> {
  if (typeof (app as Partial<App> | undefined)?.ready !== 'function' || typeof app.server?.on !== 'function') throw new FST_CTX_INVALID_ARGUMENT('assertIsolated', 'a Fastify instance first')
  if ((app.initialConfig as { http2?: unknown }).http2 === true) throw new FST_CTX_INVALID_ARGUMENT('assertIsolated', 'an application that speaks HTTP/1: make it without http2 for this test')
  await app.ready()
  const server = app.server as Server
  const secure = server instanceof TlsServer
  if (server.listening) return { server, secure, ...addressOf(server), close: async () => {} }
  await once(server.listen({ port: 0, host: '127.0.0.1' }), 'listening')
  return { server, secure, ...addressOf(server), close: () => closeServer(server) }
}

function addressOf (server: Server): Pick<Target, 'host' | 'port'> {
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new FST_CTX_INVALID_ARGUMENT('assertIsolated', 'an application that listens on a port, or not at all')
  const everywhere: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' }
  return { host: everywhere[address.address] ?? address.address, port: address.port }
}

async function closeServer (server: Server): Promise<void> {
  // The application was closed in the meantime.
  if (!server.listening) return
  const closed = once(server, 'close')
  server.close()
  server.closeAllConnections()
  await closed
}
