// docs/recipes*.md: the recipe tests prove the code on these pages.
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const read = (path: string): string => readFileSync(fileURLToPath(new URL(`../../${path}`, import.meta.url)), 'utf8')

const pages = readdirSync(fileURLToPath(new URL('../../docs/', import.meta.url))).filter((name) => /^recipes.*\.md$/.test(name)).map((name) => {
  const [opening = '', ...parts] = read(`docs/${name}`).split(/^## /m)
  const sections = parts.map((text) => ({
    title: text.slice(0, text.indexOf('\n')),
    test: /^Test.*?: \[[\w/-]+\]\(\.\.\/(test\/compat\/recipes[/-]\w+(?:\.test)?\.ts)\)\.$/m.exec(text)?.[1],
    blocks: [...text.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => code!)
  }))
  return { name, opening, sections }
})
const sections = pages.flatMap(({ sections }) => sections)

/** The lines of a program without what may differ in a test: comments, indentation and blank lines. */
function linesOf (code: string): string[] {
  return code.split('\n').map((line) => line.replace(/(?:^|\s)\/\/ .*$/, '').trim()).filter((line) => line !== '')
}

/** The first line that a program does not contain after the lines before it. */
function missingIn (program: readonly string[], lines: readonly string[]): string | undefined {
  let from = 0
  return lines.find((line) => {
    const at = program.indexOf(line, from)
    from = at + 1
    return at === -1
  })
}

t.test('each recipe names its test', async (t) => {
  t.ok(sections.length >= 29)
  t.same(sections.filter(({ test, blocks }) => test === undefined || blocks.length === 0).map(({ title }) => title), [])
})

t.test('each line of a recipe is in its test, in the same order', async (t) => {
  const shared = linesOf(read('test/compat/recipes/context.ts'))
  const { opening } = pages.find(({ name }) => name === 'recipes.md')!
  const [context = ''] = [...opening.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => code!)
  t.equal(missingIn(shared, linesOf(context).filter((line) => !line.startsWith('import '))), undefined, 'the context of all')
  for (const { title, test, blocks } of sections) {
    const program = linesOf(read(test!))
    const packages = new Set(program.flatMap((line) => /^import .* from '([^.'][^']*)'$/.exec(line)?.[1] ?? []))
    for (const lines of blocks.map(linesOf)) {
      const imports = lines.filter((line) => line.startsWith('import '))
      t.equal(missingIn(program, lines.filter((line) => !imports.includes(line))), undefined, title)
      const imported = imports.map((line) => /'([^']*)'$/.exec(line)![1]!)
      t.same(imported.filter((name) => !name.startsWith('fastify-ctx') && !packages.has(name)), [], `${title}: packages`)
    }
  }
})

t.test('the table at the top of each page links to each of its recipes', async (t) => {
  for (const { name, opening, sections } of pages) {
    const rows = [...opening.matchAll(/^\| \[([^\]]+)\]\(#/gm)].map(([, title]) => title)
    t.same(rows, sections.map(({ title }) => title), name)
  }
})
