// The README and the pages of docs/: their links lead somewhere, and their code compiles, runs and writes the log that they show.
// DOCS=docs/keys.md,docs/work.md checks these pages alone.
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import ts from 'typescript'
import { DOCS, filesIn, LIB, matches, OPTIONS, read, ROOT, stripped } from './repository.ts'

const PAGES = process.env.DOCS?.split(',') ?? DOCS

// The compiler reads each block with the types of its packages, and each program is a process.
t.setTimeout(900_000)

t.test('docs: each relative link leads somewhere', async (t) => {
  for (const file of PAGES) {
    const links = matches(read(file), /\]\((?!https?:)([^)\s]+)\)/g)
    t.same(links.filter((link) => !leads(file, link)), [], file)
  }
})

t.test('docs: each ts block compiles', async (t) => {
  const host = cachedHost()
  // The other pages of recipes stand line by line in their tests, which the compiler reads: test/compat/recipes.test.ts.
  const blocks = PAGES.filter((file) => !file.startsWith('docs/recipes-')).flatMap(blocksOf)
  // A declaration for a module applies to the whole program, so a block with one gets a separate program.
  const alone = blocks.filter(({ code }) => code.includes('declare module'))
  for (const program of [blocks.filter((block) => !alone.includes(block)), ...alone.map((block) => [block])]) {
    for (const [block, found] of complaints(program, host)) t.same(found, [], `${block.file}:${block.line}`)
  }
})

t.test('docs: each block marked so runs, and writes the log lines shown below it', async (t) => {
  const blocks = PAGES.flatMap(blocksOf).filter(({ run }) => run)
  if (PAGES === DOCS) t.not(blocks.length, 0)
  const directory = t.testdir({ lib: {} })
  for (const file of LIB) {
    const copy = join(directory, 'lib', file.replace(/ts$/, 'js'))
    mkdirSync(dirname(copy), { recursive: true })
    writeFileSync(copy, stripped(read(`lib/${file}`)))
  }
  for (const { path, text } of programs) writeFileSync(join(directory, basename(path).replace(/ts$/, 'js')), runnable(text))
  for (const [i, block] of blocks.entries()) {
    const { file, line, log } = block
    const program = join(directory, `${i}.js`)
    writeFileSync(program, runnable(block.code))
    const { stdout } = await promisify(execFile)(process.execPath, [program], { timeout: 60_000 })
      .catch((error: Error & { stdout: string, stderr: string }) => { throw new Error(`${file}:${line} failed: ${error.stderr}`, { cause: error }) })
    const written = stdout.split('\n').filter((text) => text.startsWith('{')).map((text) => JSON.parse(text) as unknown)
    t.same(log.filter((shown) => !written.some((whole) => includes(whole, JSON.parse(shown)))), [], `${file}:${line}`)
  }
})

/** A fenced ts block, with the lines around it that readers need not see. */
interface Block {
  readonly file: string
  readonly line: number
  /** The program of `examples/readme` that contains it. */
  readonly program: string | undefined
  readonly code: string
  readonly run: boolean
  /** The lines of the json block that follows before the next ts block: some of what the run writes. */
  readonly log: readonly string[]
}

/** The programs of which the README shows a part, so that its visible code runs. They import each other. */
const programs = filesIn('examples/readme', '.ts').map((path) => ({ path, text: read(path) }))

/**
 * The ts blocks of a document. Each is a module of its own. A block of the README stands, as it is, in a program of `examples/readme`.
 * Elsewhere a comment `<!-- ts before … -->` right above a block begins the module, a comment `<!-- ts after … -->` right
 * below it ends it, and `<!-- ts run before … -->` says that the module is also run.
 */
function blocksOf (file: string): Block[] {
  const text = read(file)
  const fence = /(?:<!-- ts (?<run>run )?before\n(?<before>.*?)-->\n)?^```ts\n(?<code>.*?)^```\n(?:<!-- ts after\n(?<after>.*?)-->\n)?/gms
  const found = [...text.matchAll(fence)]
  return found.map(({ index, groups = {}, 0: { length } }, i) => {
    const until = text.slice(index + length, found[i + 1]?.index)
    const program = file === 'README.md' ? programs.find(({ text }) => text.includes(groups.code!)) : undefined
    return {
      file,
      line: text.slice(0, index).split('\n').length,
      program: program?.path,
      code: `${program?.text ?? `${groups.before ?? ''}${groups.code}${groups.after ?? ''}`}export {}\n`,
      run: program !== undefined || groups.run !== undefined,
      log: /^```json\n(?<lines>.*?)\n```$/ms.exec(until)?.groups?.lines?.split('\n') ?? []
    }
  })
}

/** The compiler errors in the blocks of one program, each a separate module, with our own strictness. */
function complaints (blocks: readonly Block[], host: ts.CompilerHost): Map<Block, string[]> {
  const files = new Map(blocks.map((block, i) => [join(ROOT, block.program ?? `block-${i}.ts`), block]))
  const getSourceFile: typeof host.getSourceFile = (name, language) => files.has(name) ? ts.createSourceFile(name, files.get(name)!.code, language, true) : host.getSourceFile(name, language)
  const program = ts.createProgram([...files.keys()], OPTIONS, { ...host, getSourceFile, fileExists: (name) => files.has(name) || host.fileExists(name) })
  return new Map([...files].map(([name, block]) => {
    // Of the block alone: `npm run types` checks the rest.
    const source = program.getSourceFile(name)
    return [block, [...program.getOptionsDiagnostics(), ...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)].map((diagnostic) => {
      const { line } = diagnostic.file?.getLineAndCharacterOfPosition(diagnostic.start ?? 0) ?? { line: 0 }
      return `TS${diagnostic.code} ${ts.flattenDiagnosticMessageText(diagnostic.messageText, '\n')} at: ${diagnostic.file?.text.split('\n')[line]}`
    })]
  }))
}

/** Reads each declaration file once for all blocks. */
function cachedHost (): ts.CompilerHost {
  const host = ts.createCompilerHost({ target: ts.ScriptTarget.ES2023 }, true)
  const files = new Map<string, ts.SourceFile | undefined>()
  return {
    ...host,
    getCurrentDirectory: () => ROOT,
    getSourceFile (name, language) {
      if (!files.has(name)) files.set(name, host.getSourceFile(name, language))
      return files.get(name)
    }
  }
}

/** Runs a block as a separate program, with a copy of lib and a free port. */
function runnable (code: string): string {
  return stripped(code).replace(/from 'fastify-ctx(?:\/(\w+))?'/g, (_, entry: string = 'index') => `from './lib/${entry}.js'`)
    .replace(/from '\.\/(\w+)\.ts'/g, "from './$1.js'").replaceAll('port: 3000', 'port: 0')
}

/** Whether all that a value shown has is in the whole one. */
function includes (whole: unknown, shown: unknown): boolean {
  if (typeof shown !== 'object' || shown === null) return whole === shown
  return typeof whole === 'object' && whole !== null && Object.entries(shown).every(([name, value]) => includes((whole as Record<string, unknown>)[name], value))
}

/** Whether a link leads to a file that exists and, where it names one, to a heading in it. */
function leads (from: string, link: string): boolean {
  const [path = '', heading] = link.split('#')
  const file = path === '' ? join(ROOT, from) : resolve(ROOT, dirname(from), path)
  if (!existsSync(file)) return false
  if (heading === undefined) return true
  const headings = matches(readFileSync(file, 'utf8'), /^#+ (.*)$/gm).map((text) => text.toLowerCase().replace(/[^\w -]/g, '').replaceAll(' ', '-'))
  return headings.includes(heading)
}
