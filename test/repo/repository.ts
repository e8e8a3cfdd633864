// Shared by the tests of the repository itself: its files, and how to read them.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

export const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** Our own strictness. `fastify-ctx` resolves to lib. */
export const { options: OPTIONS } = ts.convertCompilerOptionsFromJson({
  ...(ts.readConfigFile(join(ROOT, 'tsconfig.json'), ts.sys.readFile).config as { compilerOptions: object }).compilerOptions,
  paths: { 'fastify-ctx': ['./lib/index.ts'], 'fastify-ctx/*': ['./lib/*.ts'] }
}, ROOT)

/** The paths of the files of lib, relative to it. */
export const LIB = filesIn('lib', '.ts').map((file) => relative('lib', file))

/** The pages that people read. */
export const DOCS = ['README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'SECURITY.md', ...filesIn('docs', '.md').filter((file) => !file.startsWith('docs/api/'))]

/** The JavaScript of a TypeScript program. */
export function stripped (code: string): string {
  return ts.transpileModule(code, { compilerOptions: { ...OPTIONS, module: ts.ModuleKind.ESNext } }).outputText
}

/** Every match of the first group of a pattern, without repeats, in order. */
export function matches (text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)].map(([, group]) => group!)
}

/** The text of a file. */
export function read (file: string): string {
  return readFileSync(join(ROOT, file), 'utf8')
}

/** The names of the files below a folder with this ending. */
export function filesIn (folder: string, ending: string): string[] {
  if (!existsSync(join(ROOT, folder))) return []
  return (readdirSync(join(ROOT, folder), { recursive: true }) as string[])
    .map((name) => join(folder, name))
    .filter((name) => name.endsWith(ending) && statSync(join(ROOT, name)).isFile())
    .sort()
}
