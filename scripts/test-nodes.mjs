// npm run test:nodes [-- 22 24.3.0 …]: the test suite on each of these versions of Node, without coverage. Versions other than the current one come from the
// npm package `node`. The version is first in PATH, so that every process of a test uses it too.
import { readFileSync } from 'node:fs'
import { delimiter, dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { findNode, VERSIONS } from './nodes.mjs'
import { runTap } from './tap.mjs'

const tapPackage = new URL('../node_modules/tap/', import.meta.url)
const { bin } = JSON.parse(readFileSync(new URL('package.json', tapPackage), 'utf8'))
const tap = fileURLToPath(new URL(bin.tap, tapPackage))

const given = process.argv.slice(2)
for (const wanted of given.length === 0 ? VERSIONS : given) {
  const { version, passed, failed, output } = await testOn(wanted)
  if (failed > 0) {
    console.error(output.join('\n'))
    process.exitCode = 1
  }
  console.log(`node ${version}: ${passed} passed, ${failed} failed`)
}

async function testOn (wanted) {
  const output = []
  const { path, version } = await findNode(wanted, output)
  if (path === undefined) return { version: wanted, passed: 0, failed: 1, output }
  const env = { ...process.env, PATH: `${dirname(path)}${delimiter}${process.env.PATH}`, NODE: path, npm_node_execpath: path }
  return { version, output, ...await runTap(path, [tap, '--disable-coverage'], (line) => { output.push(line) }, env) }
}
