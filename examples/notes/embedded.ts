import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { setFlagsFromString } from 'node:v8'

/** A PostgreSQL in this process, and its address. */
export interface Embedded {
  readonly url: string
  readonly close: () => Promise<void>
}

/** The first start keeps its empty database here for later starts, because creating it takes most of the time. */
const CACHE = new URL('../../node_modules/.cache/fastify-ctx/', import.meta.url)

/** Starts a PostgreSQL if you have none: PGlite, in memory, empty at each start, reachable only from this machine. */
export async function startEmbedded (): Promise<Embedded> {
  // Compile once and fast, without recompiling for speed. This halves the time of the first start.
  setFlagsFromString('--liftoff-only')
  const { PGlite } = await import('@electric-sql/pglite')
  const { PGLiteSocketServer } = await import('@electric-sql/pglite-socket')
  const empty = await emptyDatabase()
  const db = await PGlite.create(empty === undefined ? {} : { loadDataDir: empty })
  if (empty === undefined) await keep(await db.dumpDataDir('none'))
  // One for the service, one for its worker, the others to inspect it with psql. Transactions take turns.
  const server = new PGLiteSocketServer({ db, port: 0, maxConnections: 10 })
  await server.start()
  return {
    url: `postgres://postgres@${server.getServerConn()}/postgres`,
    async close () {
      await server.stop()
      await db.close()
    }
  }
}

async function emptyDatabase (): Promise<Blob | undefined> {
  const kept = await readFile(await cacheFile()).catch(() => undefined)
  return kept === undefined ? undefined : new Blob([kept])
}

async function keep (database: Blob): Promise<void> {
  const file = await cacheFile()
  const whole = new URL(`${file.href}.${process.pid}`)
  await mkdir(CACHE, { recursive: true })
  await writeFile(whole, database.stream())
  await rename(whole, file)
}

/** Another version may need another database. */
async function cacheFile (): Promise<URL> {
  const manifest = await readFile(new URL('../package.json', import.meta.resolve('@electric-sql/pglite')), 'utf8')
  const { version } = JSON.parse(manifest) as { version: string }
  return new URL(`pglite-${version}.tar`, CACHE)
}
