// npm run test:services: the tests that need what npm cannot install, Redis and a browser, without coverage. The browser is CHROMIUM, or the Chromium or Chrome
// in the path. Without one, the test says so. Redis is required. It is started on a free port and keeps no data; with REDIS_PORT, the one that listens there on
// this machine is used. The last line says `N passed, N failed`.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { runTap } from './tap.mjs'

const FOLDER = 'test/services'
const files = readdirSync(new URL(`../${FOLDER}`, import.meta.url)).filter((name) => name.endsWith('.test.ts')).map((name) => `${FOLDER}/${name}`)

const tapPackage = new URL('../node_modules/tap/', import.meta.url)
const { bin } = JSON.parse(readFileSync(new URL('package.json', tapPackage), 'utf8'))
const tap = fileURLToPath(new URL(bin.tap, tapPackage))

let result = { passed: 0, failed: 1 }
const directory = mkdtempSync(join(tmpdir(), 'redis-'))
try {
  const { server, port } = process.env.REDIS_PORT === undefined ? await startRedis() : { port: process.env.REDIS_PORT }
  try {
    result = await runTap(process.execPath, [tap, '--disable-coverage', ...files], console.log, { ...process.env, REDIS_PORT: String(port) })
  } finally {
    server?.kill()
    if (server?.exitCode === null && server.signalCode === null) await once(server, 'exit')
  }
} catch (error) {
  console.error(error.code === 'ENOENT'
    ? 'these tests need redis-server, which is not installed: apt-get install redis-server, or brew install redis'
    : error.message)
} finally {
  rmSync(directory, { recursive: true, force: true })
}
console.log(`${result.passed} passed, ${result.failed} failed`)
process.exitCode = result.failed === 0 ? 0 : 1

/** Starts Redis. If that fails, rejects with its output. */
async function startRedis () {
  const port = await freePort()
  const server = spawn('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', directory], { stdio: ['ignore', 'pipe', 'inherit'] })
  process.once('exit', () => { server.kill() })
  const said = []
  await new Promise((resolve, reject) => {
    server.once('error', reject)
    server.once('exit', () => { reject(new Error(`redis-server ended:\n${said.join('\n')}`)) })
    createInterface({ input: server.stdout }).on('line', (line) => {
      said.push(line)
      if (line.includes('eady to accept connections')) resolve()
    })
  })
  server.removeAllListeners('exit')
  return { server, port }
}

async function freePort () {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  await new Promise((resolve) => { server.close(resolve) })
  return port
}
