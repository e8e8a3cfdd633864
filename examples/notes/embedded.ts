import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { setFlagsFromString } from 'node:v8'

/** A PostgreSQL within this process, and where it listens. */
export interface Embedded {
  readonly url: string
  readonly close: () => Promise<void>
}

/** Where the first start keeps its empty database for the next ones: to make it is most of what a start takes. */
const CACHE = new URL('../../node_modules/.cache/fastify-ctx/', import.meta.url)

/** Starts a PostgreSQL for those who have none at hand: PGlite, in memory, empty at each start, for this machine only. */
export async function startEmbedded (): Promise<Embedded> {
  // Compiled once, quickly, not a second time for speed: the first start takes half the time.
  setFlagsFromString('--liftoff-only')
  const { PGlite } = await import('@electric-sql/pglite')
  const { PGLiteSocketServer } = await import('@electric-sql/pglite-socket')
  const empty = await emptyDatabase()
  const db = await PGlite.create(empty === undefined ? {} : { loadDataDir: empty })
  if (empty === undefined) await keep(await db.dumpDataDir('none'))
  // One for the service, one for its worker, the others to look at it with psql. Transactions take turns.
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
