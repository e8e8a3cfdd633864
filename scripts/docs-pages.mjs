// The pages of the site: README, docs/, the API reference, and each file that they link to.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { extname, join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT = fileURLToPath(new URL('..', import.meta.url))

/** The folder of everything that `npm run docs` writes. */
export const SITE = join(ROOT, '.site')

/** The pictures of the pages. */
export const PICTURES = filesIn(join(ROOT, 'docs')).filter((name) => name.endsWith('.svg')).map((name) => `docs/${name}`)

/** The order of the pages in the sidebar. A page in no group comes in the last one. */
const GROUPS = {
  Start: ['index', 'concepts', 'keys', 'api', 'faq', 'errors', 'incident'],
  'A scope': ['scope', 'work', 'where-context-holds', 'internals'],
  'Leaving the process': ['logging', 'jobs', 'workers', 'outgoing-calls', 'tracing', 'database', 'security', 'audit'],
  Recipes: ['recipes', 'recipes-hosts', 'recipes-shared', 'recipes-operations'],
  'Prove it': ['testing', 'inspect'],
  'Take it': ['moving', 'comparison', 'performance', 'versions', 'toolchains', 'dependencies'],
  Project: ['changelog', 'contributing', 'reporting']
}

/** The pages in the root folder. The README is the first page of the site. SECURITY.md needs another name, because docs/security.md exists. */
const IN_ROOT = { 'README.md': 'index.md', 'CHANGELOG.md': 'changelog.md', 'CONTRIBUTING.md': 'contributing.md', 'SECURITY.md': 'reporting.md' }

/**
 * All pages: path on the site to Markdown text. Comments, which only tests read, are left out. Links lead to pages of the site.
 * The site has a page for each other linked file, so that nothing needs a repository on the web.
 * `reference` is the folder of the API reference, if it was built.
 */
export function pages (reference) {
  const sources = new Map([
    ...Object.entries(IN_ROOT).map(([file, page]) => [page, file]),
    ...readdirSync(join(ROOT, 'docs')).filter((name) => name.endsWith('.md')).map((name) => [name, `docs/${name}`])
  ])
  const pageOf = new Map([...sources].map(([page, file]) => [file, page]))
  const linked = new Set()
  const found = new Map()
  for (const [page, file] of sources) {
    found.set(page, rewritten(read(file), (target) => {
      const path = posix.join(posix.dirname(file), target)
      if (PICTURES.includes(path)) return relativeTo(page, posix.relative('docs', path))
      if (pageOf.has(path)) return relativeTo(page, pageOf.get(path))
      linked.add(path)
      return relativeTo(page, `source/${path}.md`)
    }))
  }
  for (const path of linked) found.set(`source/${path}.md`, sourcePage(path))
  for (const [name, text] of reference === undefined ? [] : referencePages(reference)) found.set(`reference/${name}`, text)
  return found
}

/** The sidebar: groups of pages, each with its own title. */
export function sidebar () {
  const titles = new Map([...pages()].filter(([page]) => !page.includes('/')).map(([page, text]) => [page.replace(/\.md$/, ''), /^# (.*)$/m.exec(text)[1].replaceAll('`', '')]))
  const grouped = Object.values(GROUPS).flat()
  const others = [...titles.keys()].filter((page) => !grouped.includes(page))
  const groups = Object.entries({ ...GROUPS, More: others }).map(([text, names]) => ({
    text,
    items: names.filter((name) => titles.has(name)).map((name) => ({ text: titles.get(name), link: name === 'index' ? '/' : `/${name}` }))
  }))
  groups[0].items.push({ text: 'API reference', link: '/reference/' })
  return groups.filter(({ items }) => items.length > 0)
}

/** The id of a heading as GitHub creates it, so that links in docs/ work in both places. */
export function slug (heading) {
  return heading.toLowerCase().replace(/[^\w -]/g, '').replaceAll(' ', '-')
}

/** A page without its comments, and with each relative link outside code replaced by `lead(link)`. */
function rewritten (text, lead) {
  const visible = text.replace(/^<!--.*?-->\n?/gms, '')
  return visible.split(/(^```.*?^```$)/ms).map((part) => part.startsWith('```')
    ? part
    : part.replace(/(\]\()(?!https?:|#)([^)#\s]+)(?=[)#])/g, (_, opening, target) => `${opening}${lead(target)}`)).join('')
}

/** A link from one page to another. */
function relativeTo (page, target) {
  const path = posix.relative(posix.dirname(page), target)
  return path.startsWith('.') ? path : `./${path}`
}

/** The API reference. TypeDoc numbers repeated headings differently from the site, so the number is removed from links to such headings. */
function referencePages (folder) {
  const texts = new Map(filesIn(folder).map((name) => [name.replace('README.md', 'index.md'), readFileSync(join(folder, name), 'utf8').replaceAll('README.md', 'index.md')]))
  const headings = new Map([...texts].map(([name, text]) => [name, slugs(text)]))
  return new Map([...texts].map(([name, text]) => [name, text.replace(/\]\(([^)#\s]*)#([^)\s]+?)(-\d+)\)/g, (link, path, id, number) => {
    const known = headings.get(path === '' ? name : posix.join(posix.dirname(name), path))
    return known !== undefined && !known.has(id + number) && known.has(id) ? `](${path}#${id})` : link
  })]))
}

/** The ids of the headings of a page. A repeated one gets a number. */
function slugs (text) {
  const ids = new Set()
  for (const [, heading] of text.matchAll(/^#+ (.*)$/gm)) {
    const id = slug(heading.replaceAll('\\', ''))
    let i = 1
    let unique = id
    while (ids.has(unique)) unique = `${id}-${i++}`
    ids.add(unique)
  }
  return ids
}

/** A page that shows a file, or each file of a folder. */
function sourcePage (path) {
  if (!existsSync(join(ROOT, path))) throw new Error(`A page links to ${path}, which does not exist`)
  const folder = statSync(join(ROOT, path)).isDirectory()
  const files = folder ? filesIn(join(ROOT, path)).map((name) => `${path}/${name}`) : [path]
  const parts = files.map((file) => `${folder ? `## ${file.slice(path.length + 1)}\n\n` : ''}\`\`\`\`${extname(file).slice(1).replace('mjs', 'js') || 'text'}\n${read(file).trimEnd()}\n\`\`\`\`\n`)
  return `---\nsearch: false\neditLink: false\n---\n\n# ${path}\n\n${parts.join('\n')}`
}

/** The files below a folder, by name. */
function filesIn (folder) {
  return readdirSync(folder, { recursive: true }).map((name) => name.replaceAll('\\', '/')).filter((name) => statSync(join(folder, name)).isFile()).sort()
}

function read (file) {
  return readFileSync(join(ROOT, file), 'utf8')
}
