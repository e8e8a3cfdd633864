// npm run docs: builds the site of docs/, the README and the API reference in .site/html. `npm run docs -- --open` also serves it.
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, relative } from 'node:path'
import { build, serve } from 'vitepress'
import { pages, PICTURES, ROOT, SITE } from './docs-pages.mjs'

const reference = join(SITE, 'reference')
const typedoc = join(dirname(createRequire(import.meta.url).resolve('typedoc/package.json')), 'bin/typedoc')

rmSync(SITE, { recursive: true, force: true })
execFileSync(process.execPath, [typedoc, '--out', reference, '--hidePageHeader', 'true', '--hideBreadcrumbs', 'true', '--logLevel', 'Warn'], { cwd: ROOT, stdio: 'inherit' })
for (const [page, text] of pages(reference)) {
  const file = join(SITE, 'pages', page)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text)
}
for (const picture of PICTURES) cpSync(join(ROOT, picture), join(SITE, 'pages', relative('docs', picture)))
await build(join(ROOT, 'docs'))
if (process.argv.includes('--open')) await serve({ root: join(ROOT, 'docs'), port: 4173 })
