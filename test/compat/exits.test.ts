// A process exits by itself after its application has closed, as without the plugin.
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { LOADER, OUTSIDE } from '../support/processes.ts'

/** Node 20 needs help with TypeScript. */
const PROXY = fileURLToPath(new URL('exits/proxy.ts', import.meta.url))

t.test('a process exits after closing an upstream of @fastify/reply-from that speaks HTTP/2', async (t) => {
  // The first run is the control. A process that does not exit is killed, and rejects.
  const outputs = await Promise.all(['bare', 'plugin'].map(async (variant) => {
    const { stdout } = await promisify(execFile)(process.execPath, ['--no-warnings', ...LOADER, PROXY, variant], { env: OUTSIDE, timeout: 60_000 })
    return stdout
  }))
  t.same(outputs, Array(2).fill('200 {"from":"2.0"}\n200 {"from":"2.0"}\nclosed\n'))
})
