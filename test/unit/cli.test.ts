import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const root = fileURLToPath(new URL('../..', import.meta.url))

async function run (...args: string[]): Promise<{ code: number, output: string }> {
  const child = spawn(process.execPath, [...process.execArgv, 'lib/cli.ts', ...args], { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] })
  const [output, [code]] = await Promise.all([text(child.stdout), once(child, 'exit') as Promise<[number]>])
  return { code, output }
}

t.test('the command exits with its exit code after all output is written', async (t) => {
  t.match(await run('--help'), { code: 0, output: /Exits with 0/ })
  t.match(await run('check', 'test/unit/testing/check/apps/crossing.ts', '--header', 'x-tenant-id: {canary}'), { code: 1, output: /values crossed[^]*The same requests/ })
  t.match(await run('check'), { code: 2, output: /Usage:/ })
})
