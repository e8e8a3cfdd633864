// BullMQ on PostgreSQL, which comes with `npm ci`. `npm run test:services` does the same on Redis.
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { testJobs } from './jobs/body.ts'
import { testBoundJobs } from './jobs/bound.ts'
import { startPostgres } from './postgres-server.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const where = startPostgres(t).then(({ host, port }) => ({ kind: 'postgres' as const, host, port }))

testJobs(t, () => where)
testBoundJobs(t, () => where)

t.test('the processes of examples/queue print the expected output', async (t) => {
  const { host, port } = await where
  // Without tap's coverage, which would count dist next to lib.
  const env = { PATH: process.env.PATH, DATABASE_URL: `postgres://postgres@${host}:${port}/postgres`, _TAPJS_PROCESSINFO_COVERAGE_: '0' }
  const { stdout, stderr } = await promisify(execFile)(process.execPath, ['--import', 'tsx', 'examples/queue/main.ts'], { cwd: ROOT, env, timeout: 60_000 })
  t.equal(stderr, '')
  const lines = stdout.trimEnd().split('\n')
  t.same(lines.filter((line) => !line.startsWith('{')), ['202 report 2026-11 of acme', '202 report 2026-11 of globex'])
  for (const tenant of ['acme', 'globex']) {
    const whose = { reqId: `demo-${tenant}`, tenant }
    const written = lines.filter((line) => line.includes(`"${tenant}"`)).map((line) => JSON.parse(line) as { level: number })
    // The listener may see a failure after the next attempt has begun.
    t.same(written.sort((a, b) => a.level - b.level), [
      { level: 30, ...whose, attempt: 1, msg: 'writing' },
      { level: 30, ...whose, attempt: 2, msg: 'writing' },
      { level: 40, ...whose, cause: 'the printer is out of paper', msg: 'failed' }
    ])
  }
})
