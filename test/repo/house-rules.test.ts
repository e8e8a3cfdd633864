import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import ts from 'typescript'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/**
 * The rooms of lib: its folders, and the files at its root. A room imports only from rooms in earlier rows; rooms in one
 * row do not know each other. Of the entries in the last two rows, only the command imports another.
 */
const ORDER = [
  ['common', 'types'],
  ['tracing'],
  ['config'],
  ['scope'],
  ['logging', 'propagation'],
  ['lifecycle'],
  ['envelope'],
  ['patches'],
  ['request', 'api'],
  ['plugin'],
  ['index'],
  ['inspect', 'otel', 'testing', 'worker'],
  ['cli']
]

/** Our own strictness; `fastify-ctx` is what is in lib. */
const { options: OPTIONS } = ts.convertCompilerOptionsFromJson({
  ...(ts.readConfigFile(join(ROOT, 'tsconfig.json'), ts.sys.readFile).config as { compilerOptions: object }).compilerOptions,
  paths: { 'fastify-ctx': ['./lib/index.ts'], 'fastify-ctx/*': ['./lib/*.ts'] }
}, ROOT)

/** Files without code that runs: their tests are the type assertions in types/. */
const TYPES_ONLY = ['types.ts', 'scope/line.ts', 'scope/scope-state.ts']

const MAX_LINES = 200

/** Files that are one idea and longer all the same, each with its reason. */
const LONGER: Readonly<Record<string, string>> = {
  'scope/scope.ts': 'one class, whose private members keep its tree in order: apart, each of them would be public'
}

const LIB = filesIn('lib', '.ts').map((file) => relative('lib', file))
const EXPORTS = LIB.flatMap(exportsOf)
const DOCS = ['README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', ...filesIn('docs', '.md').filter((file) => !file.startsWith('docs/api/'))]
const CODE = ['lib', 'test', 'types', 'examples', 'benchmarks', 'scripts'].flatMap((folder) => [...filesIn(folder, '.ts'), ...filesIn(folder, '.mjs')])

t.test('files of lib', async (t) => {
  t.test('each is in a room, and each room has files', async (t) => {
    t.same([...new Set(LIB.map(roomOf))].sort(), ORDER.flat().sort())
  })

  t.test('each has its test twin, unless it is types only', async (t) => {
    const missing = LIB.filter((file) => !TYPES_ONLY.includes(file)).map((file) => `test/unit/${file.replace(/ts$/, 'test.ts')}`).filter((twin) => !existsSync(join(ROOT, twin)))
    t.same(missing, [])
  })

  t.test('those that are types only have no code that runs', async (t) => {
    for (const file of TYPES_ONLY) {
      const code = stripped(read(`lib/${file}`)).replace(/\/\*\*.*?\*\//gs, '').replace(/^import \{\} from .*$/gm, '')
      t.equal(code.trim(), 'export {};', file)
    }
  })

  t.test('each imports only from its own room and from rooms in earlier rows', async (t) => {
    const rowOf = (file: string): number => ORDER.findIndex((row) => row.includes(roomOf(file)))
    const wrong = LIB.flatMap((file) => importsOf(file).filter((imported) => roomOf(imported) !== roomOf(file) && rowOf(imported) >= rowOf(file)).map((imported) => `${file} imports ${imported}`))
    t.same(wrong, [])
  })

  t.test('none imports itself, over others', async (t) => {
    t.same(circles(), [])
  })

  t.test(`none has more than ${MAX_LINES} lines, unless it says why`, async (t) => {
    t.same(LIB.filter((file) => read(`lib/${file}`).trimEnd().split('\n').length > MAX_LINES), Object.keys(LONGER))
  })
})

t.test('names in lib', async (t) => {
  t.test('no two exported functions, classes or constants have the same name', async (t) => {
    t.same(repeated(EXPORTS.map(({ name }) => name)), [])
  })

  t.test('no function inside a file has the name of an exported one elsewhere', async (t) => {
    const exported = new Map(EXPORTS.map(({ file, name }) => [name, file]))
    const inner = LIB.flatMap((file) => matches(read(`lib/${file}`), /^(?:async )?function (\w+)/gm).map((name) => `${file} ${name}, as in ${exported.get(name)}`))
    t.same(inner.filter((text) => !text.endsWith('undefined')), [])
  })

  t.test('no two of them have the same docstring', async (t) => {
    t.same(repeated(EXPORTS.flatMap(({ docstring }) => docstring ?? [])), [])
  })

  t.test('symbols are made in common/symbols.ts alone, each with a description of its own', async (t) => {
    t.same(LIB.filter((file) => symbolsIn(file).length > 0), ['common/symbols.ts'])
    t.same(repeated(symbolsIn('common/symbols.ts')), [])
  })
})

t.test('codes', async (t) => {
  const lib = LIB.map((file) => ({ file, text: read(`lib/${file}`) }))
  const errors = matches(read('lib/common/errors.ts'), /createError\('(FST_CTX_\w+)'/g)
  const [, errorTable = '', warningTable = ''] = read('docs/errors.md').split(/^## .*$/m)

  t.test('each error is exported under its code', async (t) => {
    t.same(matches(read('lib/common/errors.ts'), /^export const (\w+) = createError\(/gm), errors)
    t.not(errors.length, 0)
  })

  t.test('the table of errors lists what errors.ts exports', async (t) => {
    t.same(matches(errorTable, /^\| `(FST_CTX_\w+)` \|/gm), errors)
  })

  t.test('each error is thrown somewhere', async (t) => {
    const thrown = lib.filter(({ file }) => file !== 'errors.ts').map(({ text }) => text).join('\n')
    t.same(errors.filter((code) => !thrown.includes(`new ${code}(`)), [])
  })

  t.test('the table of warnings lists what warnOnce tells', async (t) => {
    const told = lib.flatMap(({ text }) => matches(text, /\bwarn(?:Once)?\('(FST_CTX_\w+)'/g))
    t.same(matches(warningTable, /^\| `(FST_CTX_\w+)` \|/gm).sort(), [...new Set(told)].sort())
    const once = lib.flatMap(({ text }) => matches(text, /\bwarnOnce\('(FST_CTX_\w+)'/g))
    t.equal(once.length, lib.flatMap(({ text }) => matches(text, /\b(warnOnce)\(/g)).length, 'each call has its code in place')
  })

  t.test('a code that is named anywhere exists', async (t) => {
    const known = [...errors, ...matches(warningTable, /^\| `(FST_CTX_\w+)` \|/gm)]
    const named = [...CODE, ...DOCS].filter((file) => file !== 'test/repo/house-rules.test.ts').flatMap((file) => matches(read(file), /\b(FST_CTX_[A-Z_]*[A-Z])\b/g).map((code) => ({ file, code })))
    t.same(named.filter(({ code }) => !known.includes(code)), [])
  })
})

t.test('words that stand nowhere in the code', async (t) => {
  const others = CODE.filter((file) => file !== 'test/repo/house-rules.test.ts')
  for (const [what, pattern] of Object.entries({
    'AsyncLocalStorage.enterWith, which leaks into the next request': /\benterWith\b/,
    'a test that runs alone, or not at all': /\.(?:only|skip|todo)\(|\b(?:only|skip|todo): true/,
    'a note to come back later': /\b(?:TODO|FIXME|XXX)\b/
  })) {
    t.same(others.filter((file) => pattern.test(read(file))), [], what)
  }
})

t.test('the package', async (t) => {
  const { version, exports, files, scripts, dependencies, peerDependencies, devDependencies } = JSON.parse(read('package.json')) as Package

  t.test('each target of exports is made of a file that exists', async (t) => {
    for (const target of Object.values(exports)) {
      t.ok(existsSync(join(ROOT, target.replace(/^\.\/dist\/(.*)\.js$/, 'lib/$1.ts'))), target)
    }
  })

  t.test('each entry of files exists, or is what the build makes', async (t) => {
    const { compilerOptions } = ts.readConfigFile(join(ROOT, 'tsconfig.build.json'), ts.sys.readFile).config as { compilerOptions: { outDir: string } }
    for (const entry of files) t.ok(entry === compilerOptions.outDir || existsSync(join(ROOT, entry)), entry)
  })

  t.test('docs/dependencies.md lists the dependencies', async (t) => {
    const listed = read('docs/dependencies.md').match(/^\| `.*?(?= \|)/gm)!.flatMap((cell) => matches(cell, /`([^`]+)`/g))
    t.same([...new Set(listed)].sort(), Object.keys({ ...dependencies, ...peerDependencies, ...devDependencies }).sort())
  })

  t.test('docs/dependencies.md says where each dependency at run time comes from', async (t) => {
    const written = matches(read('docs/dependencies.md'), /^(\| `\S+` \| github\.com.*)$/gm)
    const installed = Object.keys(dependencies).map((name) => {
      const { license, repository, dependencies: brought = {} } = JSON.parse(read(`node_modules/${name}/package.json`)) as Origin
      const source = repository.url.replace(/^.*?(?=github\.com)|\.git$/g, '')
      const list = Object.keys(brought).map((name) => `\`${name}\``).join(', ')
      return `| \`${name}\` | ${source} | ${license} | ${list === '' ? '' : `${list} `}|`
    })
    t.same(written.sort(), installed.sort())
  })

  t.test('the changelog begins with this version', async (t) => {
    t.equal(/^## \[([^\]]+)\]/m.exec(read('CHANGELOG.md'))?.[1], version)
  })

  t.test('each npm script that the docs name exists', async (t) => {
    const named = DOCS.flatMap((file) => matches(read(file), /\bnpm (?:run )?((?<=run )[\w:-]*\w|start|test)\b/g))
    t.same([...new Set(named)].filter((name) => !(name in scripts)), [])
  })
})

t.test('docs: each relative link leads somewhere', async (t) => {
  for (const file of DOCS) {
    const links = matches(read(file), /\]\((?!https?:)([^)\s]+)\)/g)
    t.same(links.filter((link) => !leads(file, link)), [], file)
  }
})

t.test('docs: each ts block compiles', async (t) => {
  const host = cachedHost()
  // The other pages of recipes stand line by line in their tests, which the compiler reads: test/compat/recipes.test.ts.
  const blocks = DOCS.filter((file) => !file.startsWith('docs/recipes-')).flatMap(blocksOf)
  // What a block declares of a module holds in its whole program, so such a block has a program of its own.
  const alone = blocks.filter(({ code }) => code.includes('declare module'))
  for (const program of [blocks.filter((block) => !alone.includes(block)), ...alone.map((block) => [block])]) {
    for (const [block, found] of complaints(program, host)) t.same(found, [], `${block.file}:${block.line}`)
  }
})

t.test('docs: each block marked so runs, and writes the log lines shown below it', async (t) => {
  const blocks = DOCS.flatMap(blocksOf).filter(({ run }) => run)
  t.not(blocks.length, 0)
  const directory = t.testdir({ lib: {} })
  for (const file of LIB) {
    const copy = join(directory, 'lib', file.replace(/ts$/, 'js'))
    mkdirSync(dirname(copy), { recursive: true })
    writeFileSync(copy, stripped(read(`lib/${file}`)))
  }
  for (const [i, block] of blocks.entries()) {
    const { file, line, log } = block
    const program = join(directory, `${i}.js`)
    writeFileSync(program, runnable(block))
    const { stdout } = await promisify(execFile)(process.execPath, [program], { timeout: 60_000 })
      .catch((error: Error & { stdout: string, stderr: string }) => { throw new Error(`${file}:${line} failed: ${error.stderr}`, { cause: error }) })
    const written = stdout.split('\n').filter((text) => text.startsWith('{')).map((text) => JSON.parse(text) as unknown)
    t.same(log.filter((shown) => !written.some((whole) => includes(whole, JSON.parse(shown)))), [], `${file}:${line}`)
  }
})

interface Package {
  readonly exports: Readonly<Record<string, string>>
  readonly files: readonly string[]
  readonly scripts: Readonly<Record<string, string>>
  readonly dependencies: Readonly<Record<string, string>>
  readonly peerDependencies: Readonly<Record<string, string>>
  readonly devDependencies: Readonly<Record<string, string>>
  readonly version: string
}

/** What a package says of where it comes from. */
interface Origin {
  readonly license: string
  readonly repository: { readonly url: string }
  readonly dependencies?: object
}

/** A fenced ts block, with the lines around it that readers need not see. */
interface Block {
  readonly file: string
  readonly line: number
  readonly code: string
  readonly run: boolean
  /** The lines of the json block that follows before the next ts block: some of what the run writes. */
  readonly log: readonly string[]
}

/** The programs of which the README shows a part: readers see no scaffolding, and what they see runs. */
const programs = filesIn('examples/readme', '.ts').map(read)

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
    const program = file === 'README.md' ? programs.find((program) => program.includes(groups.code!)) : undefined
    return {
      file,
      line: text.slice(0, index).split('\n').length,
      code: `${program ?? `${groups.before ?? ''}${groups.code}${groups.after ?? ''}`}export {}\n`,
      run: program !== undefined || groups.run !== undefined,
      log: /^```json\n(?<lines>.*?)\n```$/ms.exec(until)?.groups?.lines?.split('\n') ?? []
    }
  })
}

/** What the compiler reports about the blocks of one program, each a module of its own; as strict as about our own code. */
function complaints (blocks: readonly Block[], host: ts.CompilerHost): Map<Block, string[]> {
  const files = new Map(blocks.map((block, i) => [join(ROOT, `block-${i}.ts`), block]))
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

/** A block as a program of its own: on a copy of what is in lib, and on a port that is free. */
function runnable ({ code }: Block): string {
  return stripped(code).replace(/from 'fastify-ctx(?:\/(\w+))?'/g, (_, entry: string = 'index') => `from './lib/${entry}.js'`).replaceAll('port: 3000', 'port: 0')
}

function stripped (code: string): string {
  return ts.transpileModule(code, { compilerOptions: { ...OPTIONS, module: ts.ModuleKind.ESNext } }).outputText
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

/** What a file of lib exports of its own that exists at run time. */
function exportsOf (file: string): Array<{ readonly file: string, readonly name: string, readonly docstring: string | undefined }> {
  const source = ts.createSourceFile(file, read(`lib/${file}`), ts.ScriptTarget.ES2023, true)
  const exported = source.statements.filter((statement) => ts.canHaveModifiers(statement) && ts.getModifiers(statement)?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword))
  const found = exported.flatMap((statement) => {
    const [docstring] = ts.getJSDocCommentsAndTags(statement).map((node) => node.getText())
    // The forms of an overloaded function are one.
    if (ts.isFunctionDeclaration(statement) || ts.isClassDeclaration(statement)) return [{ file, name: statement.name?.text ?? 'default', docstring }]
    if (ts.isVariableStatement(statement)) return statement.declarationList.declarations.map(({ name }) => ({ file, name: name.getText(), docstring }))
    return []
  })
  return [...new Map(found.map((each) => [each.name, each])).values()]
}

/** The descriptions of the symbols that a file of lib makes by `Symbol()` or `Symbol.for()`. */
function symbolsIn (file: string): string[] {
  const descriptions: string[] = []
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && ['Symbol', 'Symbol.for'].includes(node.expression.getText())) descriptions.push(node.arguments[0]?.getText() ?? '')
    node.forEachChild(visit)
  }
  visit(ts.createSourceFile(file, read(`lib/${file}`), ts.ScriptTarget.ES2023, true))
  return descriptions
}

/** What stands more than once in a list. */
function repeated (list: readonly string[]): string[] {
  return [...new Set(list.filter((item, i) => list.indexOf(item) !== i))]
}

/** The files of lib that one of them imports or exports from, type imports included. */
function importsOf (file: string): string[] {
  const { importedFiles } = ts.preProcessFile(read(`lib/${file}`), true, true)
  return importedFiles.map(({ fileName }) => fileName).filter((name) => name.startsWith('.')).map((name) => join(dirname(file), name))
}

/** The room of a file of lib: its folder, or its own name at the root. */
function roomOf (file: string): string {
  return file.split('/')[0]!.replace(/\.ts$/, '')
}

/** Each circle of imports in lib, as the files along it. */
function circles (): string[] {
  const found: string[] = []
  const done = new Set<string>()
  const visit = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) found.push([...path.slice(path.indexOf(file)), file].join(' → '))
    if (path.includes(file) || done.has(file)) return
    for (const imported of importsOf(file)) visit(imported, [...path, file])
    done.add(file)
  }
  for (const file of LIB) visit(file, [])
  return found
}

/** All that the first group of a pattern matches, without repeats, in order. */
function matches (text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)].map(([, group]) => group!)
}

function read (file: string): string {
  return readFileSync(join(ROOT, file), 'utf8')
}

/** The files below a folder with this ending, by name. */
function filesIn (folder: string, ending: string): string[] {
  if (!existsSync(join(ROOT, folder))) return []
  return (readdirSync(join(ROOT, folder), { recursive: true }) as string[])
    .map((name) => join(folder, name))
    .filter((name) => name.endsWith(ending) && statSync(join(ROOT, name)).isFile())
    .sort()
}
