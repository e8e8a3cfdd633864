// npm run test:fastify [-- 5.0.0 5.4.0 …]: the test suite on each of these versions of Fastify, without coverage; by default on the oldest supported one. `npm
// test` uses the latest. After `--` a version may be followed by test files. It runs in a copy of the checkout. The package is built there with the Fastify of
// the lock file, as a user gets it. Then Fastify is replaced together with its dependencies. Other installed packages do not change.
import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

/** The oldest version that package.json allows. */
const OLDEST = '5.0.0'

/** Test files that cannot run on versions before `before`, with the reason. */
const LEFT_OUT = [
  { file: 'test/repo/api-reference.test.ts', before: '5.8.0', why: 'it compiles lib itself, which uses request.signal, unknown to these types; the published package compiles' },
  { file: 'test/repo/benchmarks.test.ts', before: '5.10.0', why: 'the benchmarks use LogController' },
  { file: 'test/integration/soak.test.ts', before: '5.8.0', why: 'the requests of its load that pass a limit use handlerTimeout' }
]

const given = process.argv.slice(2)
const versions = given.filter((word) => /^\d/.test(word))
const files = given.filter((word) => !/^\d/.test(word))

const directory = mkdtempSync(join(tmpdir(), 'fastify-ctx-test-'))
process.once('exit', () => { rmSync(directory, { recursive: true, force: true }) })
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => { process.exit(1) })

const copy = join(directory, 'checkout')
copyCheckout()
// Its commands run in its own folder.
const { run, runTap } = await import(pathToFileURL(join(copy, 'scripts/tap.mjs')).href)
if (await run('npm', ['run', '--silent', 'build']) !== 0) throw new Error('the build failed')

for (const version of versions.length === 0 ? [OLDEST] : versions) {
  const output = []
  const { passed, failed } = await testOn(version, (line) => { output.push(line) })
  if (failed > 0) {
    console.error(output.join('\n'))
    process.exitCode = 1
  }
  console.log(`fastify ${version}: ${passed} passed, ${failed} failed`)
}

async function testOn (version, say) {
  if (!await installFastify(version, say)) return { passed: 0, failed: 1 }
  const leftOut = files.length > 0 ? [] : LEFT_OUT.filter(({ before }) => isBefore(version, before))
  for (const { file, before, why } of leftOut) console.log(`fastify ${version}: without ${file}, before ${before}: ${why}`)
  const suite = testFiles().filter((file) => !leftOut.some((left) => left.file === file))
  return await runTap(process.execPath, [tapOf(copy), '--disable-coverage', ...files.length === 0 ? suite : files], say)
}

/** Copies the files that git tracks or does not ignore, with uncommitted changes, and the installed packages. */
function copyCheckout () {
  const listed = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd: ROOT, encoding: 'utf8' })
  for (const file of new Set(listed.split('\0'))) {
    if (file === '' || !existsSync(join(ROOT, file))) continue
    mkdirSync(dirname(join(copy, file)), { recursive: true })
    cpSync(join(ROOT, file), join(copy, file))
  }
  // No links: Node would search for Fastify at the target of a link.
  cpSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'), { recursive: true, verbatimSymlinks: true })
}

/** Links Fastify into the copy from its own folder, where it finds its dependencies in the versions that it needs. */
async function installFastify (version, say) {
  const folder = mkdtempSync(join(directory, 'fastify-'))
  if (await run('npm', ['install', '--prefix', folder, '--no-audit', '--no-fund', `fastify@${version}`], process.env, say) !== 0) return false
  const link = join(copy, 'node_modules/fastify')
  rmSync(link, { recursive: true })
  symlinkSync(join(folder, 'node_modules/fastify'), link, 'junction')
  return true
}

function tapOf (root) {
  const { bin } = JSON.parse(readFileSync(join(root, 'node_modules/tap/package.json'), 'utf8'))
  return join(root, 'node_modules/tap', bin.tap)
}

/** The files that .taprc includes. */
function testFiles () {
  return readdirSync(join(copy, 'test'), { recursive: true })
    .filter((file) => file.endsWith('.test.ts') && !file.startsWith('services'))
    .map((file) => join('test', file)).sort()
}

function isBefore (version, other) {
  const [a, b] = [version, other].map((text) => text.split('.').map(Number))
  const differs = a.findIndex((part, i) => part !== b[i])
  return differs !== -1 && a[differs] < b[differs]
}
