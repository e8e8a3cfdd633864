import { randomBytes } from 'node:crypto'
import { buildApp } from './app.ts'
import * as database from './database.ts'
import { startEmbedded } from './embedded.ts'
import { Jobs } from './jobs.ts'
import { usage } from './usage.ts'

/** How long a client that has stopped reading its response may delay the stop of the service, in milliseconds. */
const PATIENCE = 5000

const { DATABASE_URL, JWT_SECRET, PORT = '3000' } = process.env

const embedded = DATABASE_URL === undefined ? await startEmbedded() : undefined
const url = DATABASE_URL ?? embedded!.url
await database.migrate(url)
database.open(url)
const jobs = new Jobs(url)
// A secret in the code can be read by anybody. Without one in the environment, tokens are valid until the service stops.
const app = await buildApp(JWT_SECRET ?? randomBytes(32).toString('hex'), jobs)

app.addHook('onClose', async () => {
  await jobs.close()
  await database.close()
  await embedded?.close()
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, stop)

try {
  console.log(usage(app, await app.listen({ host: '127.0.0.1', port: Number(PORT) })))
} catch (error) {
  console.error(`The service did not start: ${reason(error as NodeJS.ErrnoException)}`)
  process.exitCode = 1
  await app.close()
}

/** Finishes the active requests, accepts no new ones, and closes everything else, so that the process exits by itself. */
function stop (signal: NodeJS.Signals): void {
  app.log.info({ signal }, 'stopping')
  // Node closes connections that are idle now. Active ones would become idle and stay open for a minute.
  setInterval(() => { app.server.closeIdleConnections() }, 50).unref()
  setTimeout(() => { app.server.closeAllConnections() }, PATIENCE).unref()
  app.close()
}

function reason ({ code, message }: NodeJS.ErrnoException): string {
  if (code === 'EADDRINUSE') return `port ${PORT} is taken. Choose another: PORT=3001 npm start`
  if (code === 'ERR_SOCKET_BAD_PORT') return `PORT is '${PORT}', which is not a port number`
  return message
}
