// For test/repo/editor.test.ts: what an editor shows for a file that imports fastify-ctx, and what the compiler reports.
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** Our own strictness, as an outside project could have it. `fastify-ctx` resolves to lib. */
const OPTIONS: ts.CompilerOptions = {
  ...ts.convertCompilerOptionsFromJson((ts.readConfigFile(join(ROOT, 'tsconfig.json'), ts.sys.readFile).config as { compilerOptions: object }).compilerOptions, ROOT).options,
  paths: { 'fastify-ctx': [join(ROOT, 'lib/index.ts')], 'fastify-ctx/*': [join(ROOT, 'lib/*.ts')] }
}

/** What an editor shows when the mouse rests on a name: the type, the text and the examples of the docstring. */
export interface Hover { readonly name: string, readonly type: string, readonly text: string, readonly examples: readonly string[] }

/** A file in memory, open in an editor. `‸` in its text marks positions and is not part of the file. */
export class Editor {
  /** A name per editor, because they share what they have read. */
  readonly #file = join(ROOT, `editor-${opened++}.ts`)
  readonly #service: ts.LanguageService
  readonly #places: readonly number[]
  readonly #text: string

  constructor (marked: string) {
    const parts = marked.split('‸')
    this.#text = parts.join('')
    this.#places = parts.slice(1).map((_, i) => parts.slice(0, i + 1).join('').length)
    const snapshots = new Map([[this.#file, ts.ScriptSnapshot.fromString(this.#text)]])
    const read = (name: string): ts.IScriptSnapshot | undefined => {
      const text = snapshots.has(name) ? undefined : ts.sys.readFile(name)
      if (text !== undefined) snapshots.set(name, ts.ScriptSnapshot.fromString(text))
      return snapshots.get(name)
    }
    this.#service = ts.createLanguageService({
      getCompilationSettings: () => OPTIONS,
      getScriptFileNames: () => [this.#file],
      getScriptVersion: () => '1',
      getScriptSnapshot: read,
      getCurrentDirectory: () => ROOT,
      getDefaultLibFileName: ts.getDefaultLibFilePath,
      fileExists: (name) => name === this.#file || ts.sys.fileExists(name),
      readFile: (name) => name === this.#file ? this.#text : ts.sys.readFile(name),
      directoryExists: (name) => name === dirname(this.#file) || ts.sys.directoryExists(name),
      getDirectories: ts.sys.getDirectories,
      realpath: (name) => name === this.#file ? name : ts.sys.realpath!(name)
    }, registry)
  }

  /** What is shown when the mouse rests on the names that begin at the marks. */
  hovers (): Hover[] {
    return this.#places.map((place) => {
      const info = this.#service.getQuickInfoAtPosition(this.#file, place)
      return {
        name: /^\w+/.exec(this.#text.slice(place))![0],
        type: ts.displayPartsToString(info?.displayParts),
        text: ts.displayPartsToString(info?.documentation),
        examples: (info?.tags ?? []).filter(({ name }) => name === 'example').map(({ text }) => ts.displayPartsToString(text))
      }
    })
  }

  /** The completions at the first mark. */
  offers (): string[] {
    return (this.#service.getCompletionsAtPosition(this.#file, this.#places[0]!, {})?.entries ?? []).map(({ name }) => name)
  }

  /** The errors of the compiler. */
  complaints (): string[] {
    return [...this.#service.getSyntacticDiagnostics(this.#file), ...this.#service.getSemanticDiagnostics(this.#file)].map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'))
  }
}

/** Reads each file once for all editors. */
const registry = ts.createDocumentRegistry()

let opened = 0
