import { run } from './tap.mjs'

/** The supported versions of Node. */
export const VERSIONS = ['20', '22', '24', '26']

/** The binary of a version, `22` or `22.12.0`: the current one, or that of the npm package `node`. */
export async function findNode (wanted, output) {
  const present = process.versions.node
  if (wanted === present || wanted === present.split('.')[0]) return { path: process.execPath, version: present }
  const tell = 'console.log(JSON.stringify({ path: process.execPath, version: process.versions.node }))'
  const status = await run('npx', ['--yes', `--package=node@${wanted}`, 'node', '-e', tell], process.env, (line) => { output.push(line) })
  return status === 0 ? JSON.parse(output.splice(0).find((line) => line.startsWith('{'))) : {}
}
