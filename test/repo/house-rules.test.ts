import { existsSync, readdirSync } from 'node:fs'
import { dirname, extname, join } from 'node:path'
import t from 'tap'
import ts from 'typescript'
import { DOCS, filesIn, LIB, matches, read, ROOT, stripped } from './repository.ts'

/**
 * The rooms of lib: its folders, and the files at its root. A room imports only from rooms in earlier rows; rooms in one
 * row do not import each other. Of the entries in the last two rows, only the command imports another.
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
  ['bullmq', 'inspect', 'otel', 'testing', 'worker'],
  ['cli']
]

/** Files without code that runs. The type assertions in types/ test them. */
const TYPES_ONLY = ['types.ts', 'api/context-api.ts', 'scope/line.ts', 'scope/scope-state.ts']

const MAX_LINES = 200

/** Files that contain one idea but are longer, each with its reason. */
const LONGER: Readonly<Record<string, string>> = {
  'api/context-api.ts': 'one interface, which is the reference of every call: in parts, a reader would have to look for the part',
  'scope/scope.ts': 'one class, whose private members keep its tree in order: apart, each of them would be public'
}

const EXPORTS = LIB.flatMap(exportsOf)
const CODE = ['lib', 'test', 'types', 'examples', 'benchmarks', 'scripts'].flatMap((folder) => [...filesIn(folder, '.ts'), ...filesIn(folder, '.mjs')])

t.test('files of lib', async (t) => {
  t.test('each is in a room, and each room has files', async (t) => {
    t.same([...new Set(LIB.map(roomOf))].sort(), ORDER.flat().sort())
  })

  t.test('each has its test, unless it contains only types', async (t) => {
    const missing = LIB.filter((file) => !TYPES_ONLY.includes(file)).map((file) => `test/unit/${file.replace(/ts$/, 'test.ts')}`).filter((twin) => !existsSync(join(ROOT, twin)))
    t.same(missing, [])
  })

  t.test('those that contain only types have no code that runs', async (t) => {
    for (const file of TYPES_ONLY) {
      const code = stripped(read(`lib/${file}`)).replace(/\/\*\*.*?\*\//gs, '').replace(/^import \{\} from .*$/gm, '')
      t.equal(code.trim(), 'export {};', file)
    }
  })

  t.test('each imports only from its own room and from earlier rows', async (t) => {
    const rowOf = (file: string): number => ORDER.findIndex((row) => row.includes(roomOf(file)))
    const wrong = LIB.flatMap((file) => importsOf(file).filter((imported) => roomOf(imported) !== roomOf(file) && rowOf(imported) >= rowOf(file)).map((imported) => `${file} imports ${imported}`))
    t.same(wrong, [])
  })

  t.test('there are no import cycles', async (t) => {
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

  t.test('no function inside a file has the name of an export elsewhere', async (t) => {
    const exported = new Map(EXPORTS.map(({ file, name }) => [name, file]))
    const inner = LIB.flatMap((file) => matches(read(`lib/${file}`), /^(?:async )?function (\w+)/gm).map((name) => `${file} ${name}, as in ${exported.get(name)}`))
    t.same(inner.filter((text) => !text.endsWith('undefined')), [])
  })

  t.test('no two exports have the same docstring', async (t) => {
    t.same(repeated(EXPORTS.flatMap(({ docstring }) => docstring ?? [])), [])
  })

  t.test('symbols are created only in common/symbols.ts, each with its own description', async (t) => {
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

  t.test('the table of warnings lists every warnOnce code', async (t) => {
    const told = lib.flatMap(({ text }) => matches(text, /\bwarn(?:Once)?\('(FST_CTX_\w+)'/g))
    t.same(matches(warningTable, /^\| `(FST_CTX_\w+)` \|/gm).sort(), [...new Set(told)].sort())
    const once = lib.flatMap(({ text }) => matches(text, /\bwarnOnce\('(FST_CTX_\w+)'/g))
    t.equal(once.length, lib.flatMap(({ text }) => matches(text, /\b(warnOnce)\(/g)).length, 'each call has its code as a literal')
  })

  t.test('every code that is mentioned exists', async (t) => {
    const known = [...errors, ...matches(warningTable, /^\| `(FST_CTX_\w+)` \|/gm)]
    const named = [...CODE, ...DOCS].filter((file) => file !== 'test/repo/house-rules.test.ts').flatMap((file) => matches(read(file), /\b(FST_CTX_[A-Z_]*[A-Z])\b/g).map((code) => ({ file, code })))
    t.same(named.filter(({ code }) => !known.includes(code)), [])
  })
})

t.test('words that are banned from the code', async (t) => {
  const others = CODE.filter((file) => file !== 'test/repo/house-rules.test.ts')
  for (const [what, pattern] of Object.entries({
    'AsyncLocalStorage.enterWith, which leaks into the next request': /\benterWith\b/,
    'a test that runs alone, or not at all': /\.(?:only|skip|todo)\(|\b(?:only|skip|todo): true/,
    'a note to come back later': /\b(?:TODO|FIXME|XXX)\b/
  })) {
    // Applications use it, and a test shows what happens then.
    const expected = /enterWith/.test(what) ? ['test/unit/lifecycle/reentry.test.ts'] : []
    t.same(others.filter((file) => pattern.test(read(file))), expected, what)
  }
})

t.test('the package', async (t) => {
  const { version, exports, files, scripts, dependencies, peerDependencies, devDependencies } = JSON.parse(read('package.json')) as Package

  t.test('each target of exports is built from a file that exists', async (t) => {
    for (const target of Object.values(exports)) {
      t.ok(existsSync(join(ROOT, target.replace(/^\.\/dist\/(.*)\.js$/, 'lib/$1.ts'))), target)
    }
  })

  t.test('each entry of files exists or is built', async (t) => {
    const { compilerOptions } = ts.readConfigFile(join(ROOT, 'tsconfig.build.json'), ts.sys.readFile).config as { compilerOptions: { outDir: string } }
    const exists = (entry: string): boolean => entry.includes('*')
      ? readdirSync(join(ROOT, dirname(entry))).some((name) => extname(name) === extname(entry))
      : existsSync(join(ROOT, entry))
    for (const entry of files) t.ok(entry === compilerOptions.outDir || exists(entry), entry)
  })

  t.test('docs/dependencies.md lists the dependencies', async (t) => {
    const listed = read('docs/dependencies.md').match(/^\| `.*?(?= \|)/gm)!.flatMap((cell) => matches(cell, /`([^`]+)`/g))
    t.same([...new Set(listed)].sort(), Object.keys({ ...dependencies, ...peerDependencies, ...devDependencies }).sort())
  })

  t.test('docs/dependencies.md says where each runtime dependency comes from', async (t) => {
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

  t.test('each npm script that the docs mention exists', async (t) => {
    const named = DOCS.flatMap((file) => matches(read(file), /\bnpm (?:run )?((?<=run )[\w:-]*\w|start|test)\b/g))
    t.same([...new Set(named)].filter((name) => !(name in scripts)), [])
  })
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

/** The repository metadata of a package. */
interface Origin {
  readonly license: string
  readonly repository: { readonly url: string }
  readonly dependencies?: object
}

/** The runtime exports that a file of lib declares. */
function exportsOf (file: string): Array<{ readonly file: string, readonly name: string, readonly docstring: string | undefined }> {
  const source = ts.createSourceFile(file, read(`lib/${file}`), ts.ScriptTarget.ES2023, true)
  const exported = source.statements.filter((statement) => ts.canHaveModifiers(statement) && ts.getModifiers(statement)?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword))
  const found = exported.flatMap((statement) => {
    const [docstring] = ts.getJSDocCommentsAndTags(statement).map((node) => node.getText())
    // An overloaded function counts once.
    if (ts.isFunctionDeclaration(statement) || ts.isClassDeclaration(statement)) return [{ file, name: statement.name?.text ?? 'default', docstring }]
    if (ts.isVariableStatement(statement)) return statement.declarationList.declarations.map(({ name }) => ({ file, name: name.getText(), docstring }))
    return []
  })
  return [...new Map(found.map((each) => [each.name, each])).values()]
}

/** The descriptions of the symbols that a file of lib creates with `Symbol()` or `Symbol.for()`. */
function symbolsIn (file: string): string[] {
  const descriptions: string[] = []
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && ['Symbol', 'Symbol.for'].includes(node.expression.getText())) descriptions.push(node.arguments[0]?.getText() ?? '')
    node.forEachChild(visit)
  }
  visit(ts.createSourceFile(file, read(`lib/${file}`), ts.ScriptTarget.ES2023, true))
  return descriptions
}

/** The duplicates in a list. */
function repeated (list: readonly string[]): string[] {
  return [...new Set(list.filter((item, i) => list.indexOf(item) !== i))]
}

/** The files of lib that a file of lib imports or re-exports from, including type imports. */
function importsOf (file: string): string[] {
  const { importedFiles } = ts.preProcessFile(read(`lib/${file}`), true, true)
  return importedFiles.map(({ fileName }) => fileName).filter((name) => name.startsWith('.')).map((name) => join(dirname(file), name))
}

/** The room of a file of lib: its folder, or its own name at the root. */
function roomOf (file: string): string {
  return file.split('/')[0]!.replace(/\.ts$/, '')
}

/** Each import cycle in lib, as the files along it. */
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
