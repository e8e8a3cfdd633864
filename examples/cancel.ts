// When the client disconnects or the time limit passes, all code that uses ctx.signal stops.
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import { createContext } from 'fastify-ctx'

const ctx = createContext({})

/** A slow function far from the request, without access to requests or limits. */
async function report (): Promise<string> {
  try {
    await sleep(60_000, undefined, { signal: ctx.signal })
    return 'the report'
  } catch {
    const { name, message } = ctx.signal.reason as Error
    console.log(`report stopped: ${name}, ${message}`)
    return 'no report'
  }
}

const app = Fastify()
await app.register(ctx.plugin)
app.get('/report', report)
app.get('/quick-report', async () => ctx.run({}, report, { timeout: 50 }))

const url = await app.listen({ host: '127.0.0.1', port: 0 })
console.log(await (await fetch(`${url}/quick-report`)).text())

const client = new AbortController()
setTimeout(() => { client.abort() }, 100)
await fetch(`${url}/report`, { signal: client.signal }).catch(() => { console.log('client gone') })
await app.close()
