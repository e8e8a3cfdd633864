// npm run test:nodes [-- 22 24.3.0 …]: the test suite on each of these versions of Node, without coverage.
// A version that is not the present one comes as the npm package `node`. It stands first in PATH, so that whatever a
// test starts runs on it, too.
import { readFileSync } from 'node:fs'
import { delimiter, dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { countTap, spawn } from './tap.mjs'

const VERSIONS = ['20', '22', '24', '26']

const tapPackage = new URL('../node_modules/tap/', import.meta.url)
const { bin } = JSON.parse(readFileSync(new URL('package.json', tapPackage), 'utf8'))
const tap = fileURLToPath(new URL(bin.tap, tapPackage))

const given = process.argv.slice(2)
for (const wanted of given.length === 0 ? VERSIONS : given) {
  const { path, version } = findNode(wanted)
  if (path === undefined) {
    console.log(`node ${wanted}: not found, 0 passed, 1 failed`)
    process.exitCode = 1
    continue
  }
  let output = ''
  const { passed, failed } = countTap((args) => {
    const { status, stdout, stderr } = spawn(path, [tap, '--disable-coverage', '--reporter=terse', ...args], { env: environment(path), stdio: 'pipe', encoding: 'utf8' })
    output = `${stdout}${stderr}`
    return status
  })
  if (failed > 0) {
    console.error(output)
    process.exitCode = 1
  }
  console.log(`node ${version}: ${passed} passed, ${failed} failed`)
}

/** The binary of a version, `22` or `22.12.0`: the present one, or that of the npm package. */
function findNode (wanted) {
  const present = process.versions.node
  if (wanted === present || wanted === present.split('.')[0]) return { path: process.execPath, version: present }
  const { status, stdout, stderr } = spawn('npx', ['--yes', `--package=node@${wanted}`, 'node', '-p', '[process.execPath, process.versions.node].join("\\n")'], { stdio: 'pipe', encoding: 'utf8' })
  if (status !== 0) {
    console.error(stderr)
    return {}
  }
  const [path, version] = stdout.trim().split('\n')
  return { path, version }
}

function environment (path) {
  return { ...process.env, PATH: `${dirname(path)}${delimiter}${process.env.PATH}`, NODE: path, npm_node_execpath: path }
}
