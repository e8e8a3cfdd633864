import { buildApp } from './app.ts'
import { usage } from './usage.ts'

/** It stands in a public repository: whoever can read it can sign. The service listens on this machine only. */
const DEV_ONLY_SECRET = 'dev-only-secret-never-deploy-this'

/** How long a client that has stopped reading its answer may keep a stopping service up, in milliseconds. */
const PATIENCE = 5000

const app = await buildApp(DEV_ONLY_SECRET)

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, stop)
await start(process.env.PORT || '3000')

async function start (port: string): Promise<void> {
  try {
    const url = await app.listen({ host: '127.0.0.1', port: Number(port) })
    console.log(usage(app, url))
  } catch (error) {
    console.error(`The service did not start: ${reason(error as NodeJS.ErrnoException, port)}`)
    process.exitCode = 1
    await app.close()
  }
}

/** Answers what has begun, takes nothing new, and leaves nothing that keeps the process: it ends by itself. */
function stop (signal: NodeJS.Signals): void {
  app.log.info({ signal }, 'stopping')
  // Node closes the connections that are idle now. Those that answer now will be idle next, and kept for a minute.
  setInterval(() => { app.server.closeIdleConnections() }, 50).unref()
  setTimeout(() => { app.server.closeAllConnections() }, PATIENCE).unref()
  app.close()
}

function reason ({ code, message }: NodeJS.ErrnoException, port: string): string {
  if (code === 'EADDRINUSE') return `port ${port} is taken. Choose another: PORT=3001 npm start`
  if (code === 'ERR_SOCKET_BAD_PORT') return `PORT is '${port}', which is no port number`
  return message
}
