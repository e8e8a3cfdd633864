// npm run test:toolchains [-- --write] [-- word …]: runs the package, as it would be published, through the tools of its users:
// compilers, bundlers, runtimes, test runners and package managers. npm installs each tool in a folder of its own, which is
// deleted at the end. A tool that npm cannot install is skipped by name. With words, only the cases whose names contain one of
// them run. With --write, what was run goes into the table of docs/toolchains.md. The last line says `N passed, N failed, N skipped`.
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { judge } from '../test/toolchains/judge.mjs'
import { bundles } from '../test/toolchains/bundles.mjs'
import { managers, runners, runtimes } from '../test/toolchains/programs.mjs'
import { compilers } from '../test/toolchains/compilers.mjs'
import { libraries } from '../test/toolchains/libraries.mjs'
import { replaceBlock } from './markdown.mjs'
import { run } from './tap.mjs'
import { mergeRows, RECORD } from './toolchains-record.mjs'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const FIXTURES = join(ROOT, 'test/toolchains')

/** Milliseconds that one command may take. */
const LIMIT = 240_000

/** When the run starts no further case: after 25 minutes. Cases that are left count as failed. */
const END = Date.now() + 25 * 60_000

const write = process.argv.includes('--write')
const words = process.argv.slice(2).filter((word) => !word.startsWith('--'))
const directory = mkdtempSync(join(tmpdir(), 'fastify-ctx-toolchains-'))
process.once('exit', () => { rmSync(directory, { recursive: true, force: true, maxRetries: 5 }) })
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => { process.exit(1) })

const count = { passed: 0, failed: 0, skipped: 0 }
const versions = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')).packages
const tarball = await pack()

/** The parameters of a case. */
const kit = {
  fixtures: FIXTURES,
  tarball,
  /** The version of a package that this repository is tested with. */
  version: (name) => versions[`node_modules/${name}`].version,
  /** Runs a program in a folder: `{ ok, output }`. */
  async run (folder, command, args, env = {}) {
    const lines = []
    const status = await run(command, args, cleanEnv(env), (line) => { lines.push(line) }, { cwd: folder, timeout: LIMIT })
    return { ok: status === 0, output: lines.join('\n') }
  },
  write (file, content) {
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content))
  },
  /** Sets up a workspace: a folder of the project becomes a package in its node_modules. */
  link (from, to) {
    mkdirSync(dirname(to), { recursive: true })
    symlinkSync(from, to, 'junction')
  },
  copy: (from, to) => { cpSync(join(FIXTURES, from), to, { recursive: true }) },
  judge
}

const groups = [...compilers, ...bundles, ...runtimes, ...runners, ...managers, ...libraries]
const rows = new Map()
for (const group of groups) await runGroup(group)
if (write) {
  const page = new URL('../docs/toolchains.md', import.meta.url)
  const text = readFileSync(page, 'utf8')
  writeFileSync(page, replaceBlock(text, RECORD, mergeRows(text, groups.map(({ name }) => name), rows)))
}

console.log(`${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`)
process.exitCode = count.failed === 0 ? 0 : 1

/** A group is a project with some tools and its cases: `cases(kit, folder)` returns functions by name, which return what is wrong. */
async function runGroup ({ name, tools, cases }) {
  const folder = mkdtempSync(join(directory, 'project-'))
  const all = Object.entries(cases(kit, folder))
  const wanted = all.filter(([title]) => words.length === 0 || words.some((word) => `${name}: ${title}`.includes(word)))
  if (wanted.length === 0) return
  const outcomes = {}
  const note = (outcome, title, detail, seconds = '') => {
    outcomes[title] = outcome
    report(outcome, `${name}: ${title}${seconds}`, detail)
  }
  if (Date.now() > END) {
    for (const [title] of wanted) note('failed', title, 'there was no time left for it')
    return
  }
  kit.write(join(folder, 'package.json'), { private: true, type: 'module' })
  const installed = await kit.run(folder, 'npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error', tarball, `fastify@${kit.version('fastify')}`, `@types/node@${kit.version('@types/node')}`, ...tools])
  for (const [title, check] of wanted) {
    if (!installed.ok) {
      note('skipped', title, `npm cannot install ${tools.join(', ')} here: ${installed.output.slice(-300)}`)
      continue
    }
    const start = Date.now()
    const wrong = start > END ? 'there was no time left for it' : await check()
    if (wrong?.skip !== undefined) note('skipped', title, wrong.skip)
    else note(wrong === undefined || wrong === '' || wrong.length === 0 ? 'passed' : 'failed', title, [wrong ?? ''].flat().join('\n'), ` (${((Date.now() - start) / 1000).toFixed(1)} s)`)
  }
  if (wanted.length === all.length) rows.set(name, { versions: tools.map((tool) => versionOf(folder, tool)), outcomes })
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
}

/** A tool and the version that npm installed: `typescript 5.9.3`. */
function versionOf (folder, tool) {
  const name = tool.replace(/(?<=.)@[^/]*$/, '')
  const file = join(folder, 'node_modules', name, 'package.json')
  return existsSync(file) ? `${name} ${JSON.parse(readFileSync(file, 'utf8')).version}` : tool
}

function report (outcome, title, detail) {
  count[outcome]++
  console.log(`${{ passed: 'ok  ', failed: 'FAIL', skipped: 'skip' }[outcome]} ${title}${detail === '' ? '' : `\n     ${detail.split('\n').slice(0, 12).join('\n     ')}`}`)
}

async function pack () {
  if (await run('npm', ['run', '--silent', 'build']) !== 0) throw new Error('the build failed')
  if (await run('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', directory], process.env, () => {}) !== 0) throw new Error('npm pack failed')
  return join(directory, readdirSync(directory).find((file) => file.endsWith('.tgz')))
}

/** The environment without what npm and a test runner add. */
function cleanEnv (env) {
  const own = Object.entries(process.env).filter(([name]) => !/^(?:npm_(?!config_cache|config_registry|execpath)|NODE_OPTIONS|TAP|INIT_CWD)/i.test(name))
  return { ...Object.fromEntries(own), NO_COLOR: '1', CI: 'true', ...env }
}
