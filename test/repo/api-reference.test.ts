import { execFile } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import ts from 'typescript'
import { OUTSIDE } from '../support/processes.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { exports: Record<string, string> }

/** The import name of each entry, and its file in lib. */
const entries = Object.entries(exports).filter(([, target]) => target.endsWith('.js')).map(([name, target]) => ({
  name: name.replace(/^\./, 'fastify-ctx'),
  file: join(root, target.replace(/^\.\/dist\/(.*)\.js$/, 'lib/$1.ts'))
}))

const { options } = ts.convertCompilerOptionsFromJson((ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile).config as { compilerOptions: object }).compilerOptions, root)
const program = ts.createProgram(entries.map(({ file }) => file), options)
const checker = program.getTypeChecker()

t.test('the API reference is built without a warning, one page per entry', async (t) => {
  const out = t.testdir()
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [join(root, 'node_modules/typedoc/bin/typedoc'), '--out', out], { cwd: root, env: OUTSIDE })
    .catch((error: Error & { stdout: string, stderr: string }) => { throw new Error(error.stdout + error.stderr, { cause: error }) })
  t.notMatch(stdout + stderr, /\[(?:warning|error)\]/)
  const pages = (readdirSync(out, { recursive: true }) as string[]).filter((file) => file.endsWith('.md')).map((file) => file.replaceAll('\\', '/'))
  t.same(pages.sort(), ['README.md', ...entries.map(({ name }) => `${name}.md`)].sort())

  for (const { name, file } of entries) {
    t.test(`${name}: its page lists all its exports`, async (t) => {
      const headings = headingsOf(read(out, name), 3)
      const names = exportsOf(file).map(({ name }) => name)
      t.not(names.length, 0)
      t.same(names.filter((name) => !headings.has(name)), [])
    })
  }

  t.test('the section of ReadyMadeContext lists each member of ctx, and no private or symbol-named one', async (t) => {
    const section = read(out, 'fastify-ctx').split(/^### /m).find((text) => text.startsWith('ReadyMadeContext\n'))!
    const members = membersOf('ctx').map(({ name }) => name)
    t.not(members.length, 0)
    t.same([...headingsOf(section, 5)].filter((heading) => heading !== 'V').sort(), members.sort())
  })

  t.test('the section of ReadyMadeOptions lists each option of the plugin', async (t) => {
    const section = read(out, 'fastify-ctx').split(/^### /m).find((text) => text.startsWith('ReadyMadeOptions\n'))!
    const symbol = exportsOf(entries[0]!.file).find(({ name }) => name === 'ReadyMadeOptions')!
    const names = checker.getDeclaredTypeOfSymbol(original(symbol)).getProperties().map(({ name }) => name)
    t.not(names.length, 0)
    t.same([...headingsOf(section, 5)].map((name) => name.replace(/\?$/, '')).sort(), names.sort())
  })
})

/** A page without the escapes of Markdown. */
function read (out: string, name: string): string {
  return readFileSync(join(out, `${name}.md`), 'utf8').replaceAll('\\', '')
}

/** The headings of one level, functions without their parentheses. */
function headingsOf (text: string, level: number): Set<string> {
  return new Set([...text.matchAll(new RegExp(`^#{${level}} (.*?)(?:\\(\\))?$`, 'gm'))].map(([, heading]) => heading!))
}

function exportsOf (file: string): ts.Symbol[] {
  return checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(file)!)!)
}

function original (symbol: ts.Symbol): ts.Symbol {
  return (symbol.flags & ts.SymbolFlags.Alias) === 0 ? symbol : checker.getAliasedSymbol(symbol)
}

/** The public members of an export of the first entry. */
function membersOf (name: string): ts.Symbol[] {
  const symbol = exportsOf(entries[0]!.file).find((symbol) => symbol.name === name)!
  return checker.getTypeOfSymbol(original(symbol)).getProperties().filter((member) => {
    const [declaration] = member.declarations ?? []
    if (declaration === undefined || /^(?:__|#)/.test(member.name)) return false
    return (ts.getCombinedModifierFlags(declaration) & (ts.ModifierFlags.Private | ts.ModifierFlags.Protected)) === 0
  })
}
