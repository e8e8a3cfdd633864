import { fileURLToPath } from 'node:url'
import t from 'tap'
import ts from 'typescript'

const lib = fileURLToPath(new URL('../../lib', import.meta.url))
const { exports } = JSON.parse(ts.sys.readFile(`${lib}/../package.json`)!) as { exports: Record<string, string> }
const entries = Object.values(exports).filter((target) => target.endsWith('.js') && ts.sys.fileExists(target.replace(/^\.\/dist\/(.*)\.js$/, `${lib}/$1.ts`))).map((target) => target.replace(/^\.\/dist\/(.*)\.js$/, `${lib}/$1.ts`))
const { options } = ts.convertCompilerOptionsFromJson((ts.readConfigFile(`${lib}/../tsconfig.json`, ts.sys.readFile).config as { compilerOptions: object }).compilerOptions, `${lib}/..`)
const program = ts.createProgram(entries, options)
const checker = program.getTypeChecker()

t.test('every export of an entry has a docstring, and so does each of its members declared in lib', async (t) => {
  t.not(entries.length, 0)
  for (const entry of entries) {
    const exported = checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(entry)!)!).map(original)
    t.not(exported.length, 0, entry)
    t.same(exported.flatMap((symbol) => [symbol, ...membersOf(symbol)]).filter(isBare).map(nameOf), [], entry)
  }
})

t.test('each call that throws our errors names their codes, and each named code exists', async (t) => {
  const codes = new Set(checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(`${lib}/common/errors.ts`)!)!).map(({ name }) => name))
  const calls = entries.flatMap((entry) => checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(entry)!)!).map(original).flatMap((symbol) => [symbol, ...membersOf(symbol)]))
  const named = calls.flatMap((symbol) => symbol.getJsDocTags(checker).filter(({ name }) => name === 'throws').map(({ text }) => ts.displayPartsToString(text).split(/\s/)[0]!))
  t.not(named.length, 0)
  t.same([...new Set(named)].filter((code) => !codes.has(code)), [])
})

function original (symbol: ts.Symbol): ts.Symbol {
  return (symbol.flags & ts.SymbolFlags.Alias) === 0 ? symbol : checker.getAliasedSymbol(symbol)
}

/** The public members of a class or an interface that are declared in lib. Those of Fastify and Node have their own docs. */
function membersOf (symbol: ts.Symbol): ts.Symbol[] {
  const isType = (symbol.flags & (ts.SymbolFlags.Class | ts.SymbolFlags.Interface)) !== 0
  if (!isType) return []
  return checker.getPropertiesOfType(checker.getDeclaredTypeOfSymbol(symbol)).filter((member) => {
    const [declaration] = member.declarations ?? []
    if (declaration === undefined || !declaration.getSourceFile().fileName.startsWith(lib)) return false
    return !member.name.startsWith('__') && !ts.isPrivateIdentifier((declaration as ts.NamedDeclaration).name ?? declaration) && (ts.getCombinedModifierFlags(declaration) & (ts.ModifierFlags.Private | ts.ModifierFlags.Protected)) === 0
  })
}

function isBare (symbol: ts.Symbol): boolean {
  return ts.displayPartsToString(symbol.getDocumentationComment(checker)).trim() === ''
}

function nameOf (symbol: ts.Symbol): string {
  return checker.symbolToString(symbol)
}
