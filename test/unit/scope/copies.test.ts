import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import t from 'tap'
import { checkRequestContext, registerCopy } from '../../../lib/scope/copies.ts'
import { runWithoutTap } from '../../support/processes.ts'
import { turns, warnings } from '../../support/support.ts'

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
const REQUEST_CONTEXT = createRequire(import.meta.url).resolve('@fastify/request-context')

const stackAt = (place: string): string => `Error: loaded\n    at ${place}:1:7\n    at ModuleJob.run (node:internal/modules/esm/module_job:271:25)`

t.test('a second copy emits one warning that names both files; loading the same file again emits none', async (t) => {
  const emitted = warnings(t, 'FST_CTX_SECOND_COPY')
  const holder = {}
  registerCopy(stackAt('file:///app/a.js'), holder)
  registerCopy(stackAt('file:///app/a.js?t=1'), holder)
  registerCopy(stackAt('Object.<anonymous> (file:///app/a.js'), holder)
  registerCopy(undefined, holder)
  await turns()
  t.same(emitted, [])
  registerCopy(stackAt('Object.<anonymous> (C:\\app\\b.cjs'), holder)
  registerCopy(stackAt('Object.<anonymous> (C:\\app\\b.cjs'), holder)
  await turns()
  t.equal(emitted.length, 1)
  t.match(emitted[0]!.message, /from file:\/\/\/app\/a\.js and from C:\\app\\b\.cjs\..*install one version/)
  t.same(Object.keys(holder), [])
})

t.test('if two loaders load the same file, the warning says so', async (t) => {
  const emitted = warnings(t, 'FST_CTX_SECOND_COPY')
  for (const [url, path] of [['file:///own/copy.js', '/own/copy.js'], ['file:///C:/own/copy.js', 'C:/own/copy.js']] as const) {
    const holder = {}
    registerCopy(stackAt(url), holder)
    registerCopy(stackAt(path), holder)
  }
  await turns()
  t.equal(emitted.length, 2)
  for (const { message } of emitted) t.match(message, /one loader.*server\.deps\.inline/)
})

t.test('a second copy of @fastify/request-context is named together with ours; a partially loaded one and other modules are not', async (t) => {
  const emitted = warnings(t, 'FST_CTX_SECOND_REQUEST_CONTEXT')
  checkRequestContext()
  checkRequestContext({ '/app/node_modules/@fastify/request-context/index.js': undefined, '/app/index.js': { exports: { asyncLocalStorage: {} } } as NodeJS.Module })
  await turns()
  t.same(emitted, [])
  const file = join(t.testdir(), 'node_modules/@fastify/request-context/index.js')
  mkdirSync(join(file, '..'), { recursive: true })
  copyFileSync(REQUEST_CONTEXT, file)
  writeFileSync(join(file, '../package.json'), '{"type":"commonjs"}')
  createRequire(import.meta.url)(file)
  checkRequestContext()
  checkRequestContext()
  await turns()
  t.equal(emitted.length, 1)
  t.match(emitted[0]!.message, `from ${file} and from ${REQUEST_CONTEXT}.`)
  const other = createRequire(import.meta.url).cache[file]!
  checkRequestContext({ '/app/node_modules/@fastify/request-context/index.js': other })
  await turns()
  t.match(emitted[1]!.message, 'from /app/node_modules/@fastify/request-context/index.js and from a bundle.', 'our code in a bundle has no separate file')
})

t.test('a library that bundles the package: both bundle formats cause the warning', async (t) => {
  const folder = t.testdir()
  for (const format of ['esm', 'cjs'] as const) {
    const library = join(folder, `library.${format === 'esm' ? 'mjs' : 'cjs'}`)
    await build({ stdin: { contents: "export { ctx } from './lib/index.ts'", resolveDir: ROOT }, outfile: library, format, bundle: true, minify: true, platform: 'node', logLevel: 'error', external: ['pino', 'fastify-plugin', '@fastify/*'] })
  }
  writeFileSync(join(folder, 'main.mjs'), "import './library.mjs'\nimport './library.cjs'\n")
  // tap's loader would load the CommonJS bundle in another way.
  const { stdout, stderr } = await runWithoutTap(process.execPath, [join(folder, 'main.mjs')], { cwd: folder })
  const output = stdout + stderr
  t.match(output, /FST_CTX_SECOND_COPY.*library\.(?:mjs|cjs).*library\.(?:mjs|cjs)\./)
  t.equal(output.split('FST_CTX_SECOND_COPY').length, 2)
})
